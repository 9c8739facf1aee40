//! What a budget or a detector counts: everything, one user, one model, a group, any dimension a source names.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that money is counted for. Its text is part of event ids and of what is stored; it never changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Scope {
    Workspace,
    User(String),
    Model(String),
    /// Any other dimension a source names (`mission`, `platform`).
    Other(String, String),
    /// One user on one model.
    UserModel(String, String),
    /// A group of users, from the config.
    Group(String),
}

/// Begins the text of a user on a model. A `+` is in no dimension's name.
const PAIR: &str = "user+model";
const WORKSPACE: &str = "workspace";

impl Scope {
    /// The user this scope is about, if it is about one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::User(id) | Self::UserModel(id, _) => Some(id),
            _ => None,
        }
    }

    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Model(name) | Self::UserModel(_, name) => Some(name),
            _ => None,
        }
    }

    /// A scope as people write it. What is none is told, never taken for another: `Workspace` is a slip, not everything.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "a scope is workspace, user:ID, model:NAME, group:NAME, user+model:ID/NAME or DIMENSION:VALUE";
        let Some((kind, name)) = text.split_once(':') else {
            return if text == WORKSPACE { Ok(Self::Workspace) } else { Err(format!("{text:?} is no scope; {form}")) };
        };
        if kind != PAIR && !matches!(Per::parse(kind), Ok(Per::User | Per::Model | Per::Group | Per::Other(_))) {
            let hint = Per::parse(kind).err().filter(|why| why.contains("did you mean"));
            return Err(format!("{text:?} is no scope: {}", hint.unwrap_or_else(|| form.to_owned())));
        }
        let whole = if kind == PAIR {
            name.split_once('/').is_some_and(|(id, model)| !id.is_empty() && !model.is_empty())
        } else {
            !name.is_empty()
        };
        if !whole || text.trim() != text {
            return Err(format!("{text:?} names nobody and nothing; {form}"));
        }
        Ok(Self::from(text.to_owned()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace => f.write_str(WORKSPACE),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Model(name) => write!(f, "model:{name}"),
            Self::Other(dimension, value) => write!(f, "{dimension}:{value}"),
            // The first `/` ends the user, so theirs are escaped.
            Self::UserModel(id, model) => write!(f, "{PAIR}:{}/{model}", id.replace('%', "%25").replace('/', "%2F")),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

impl From<String> for Scope {
    fn from(text: String) -> Self {
        match text.split_once(':') {
            Some(("user", id)) => Self::User(id.to_owned()),
            Some(("model", name)) => Self::Model(name.to_owned()),
            Some(("group", name)) => Self::Group(name.to_owned()),
            Some((PAIR, pair)) => {
                let (id, model) = pair.split_once('/').unwrap_or((pair, ""));
                Self::UserModel(id.replace("%2F", "/").replace("%25", "%"), model.to_owned())
            }
            Some((dimension, value)) => Self::Other(dimension.to_owned(), value.to_owned()),
            None => Self::Workspace,
        }
    }
}

/// How spend is cut into scopes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Per {
    #[default]
    Workspace,
    User,
    Model,
    UserModel,
    Group,
    /// A dimension some source names.
    Other(String),
}

/// The ways of cutting that need no source to name them.
const KNOWN: [(&str, Per); 5] = [
    ("workspace", Per::Workspace),
    ("user", Per::User),
    ("model", Per::Model),
    ("user_model", Per::UserModel),
    ("group", Per::Group),
];

impl Per {
    /// `workspace`, `user`, `model`, `user_model`, `group`, or a dimension's name. A near miss of a known word is a
    /// mistake, not a dimension.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, per)) = KNOWN.iter().find(|(name, _)| *name == text) {
            return Ok(per.clone());
        }
        let near = KNOWN.iter().find(|(name, _)| strsim::damerau_levenshtein(name, text) <= 2);
        if let Some((name, _)) = near {
            return Err(format!("there is no {text:?}; did you mean {name:?}?"));
        }
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if text.is_empty() || text.len() > 64 || !text.chars().all(good) {
            let known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
            return Err(format!("{text:?} is neither of {} nor the name of a dimension", known.join(", ")));
        }
        Ok(Self::Other(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(dimension) => dimension,
            known => KNOWN.iter().find(|(_, per)| per == known).map_or("", |(name, _)| name),
        }
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Per {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Per {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Per {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Per".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
        json_schema!({
            "description": "workspace, user, model, user_model, group, or the name of a dimension that the source's rows carry",
            "type": "string", "pattern": "^[a-z0-9_-]{1,64}$", "examples": known
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_scopes_round_trip() {
        let scopes = [
            (Scope::Workspace, "workspace"),
            (Scope::User("user_01".into()), "user:user_01"),
            (Scope::User("a:b/c%".into()), "user:a:b/c%"),
            (Scope::Model("openai/gpt-5".into()), "model:openai/gpt-5"),
            (Scope::UserModel("ana".into(), "openai/gpt-5".into()), "user+model:ana/openai/gpt-5"),
            (Scope::UserModel("a/b%2F".into(), "m".into()), "user+model:a%2Fb%252F/m"),
            (Scope::Group("backend".into()), "group:backend"),
            (Scope::Other("mission".into(), "m-1".into()), "mission:m-1"),
        ];
        for (scope, text) in scopes {
            assert_eq!(scope.to_string(), text);
            assert_eq!(Scope::from(text.to_owned()), scope);
        }
    }

    #[test]
    fn what_people_write_is_a_scope_or_a_slip() {
        for text in
            ["workspace", "user:ana@example.com", "user:a:b", "model:openai/gpt-5", "group:backend", "mission:m-1"]
        {
            assert_eq!(Scope::parse(text), Ok(Scope::from(text.to_owned())), "{text}");
        }
        assert_eq!(Scope::parse("user+model:ana/gpt-5"), Ok(Scope::UserModel("ana".into(), "gpt-5".into())));
        for text in [
            "",
            "bogus",
            "Workspace",
            "workspace ",
            "workspace:",
            "user:",
            "group: ",
            "USER:ana",
            "users:ana",
            "user+model:ana",
            "user_model:a",
            ":",
        ] {
            assert!(Scope::parse(text).is_err(), "{text:?}");
        }
        assert!(Scope::parse("users:ana").unwrap_err().contains("did you mean \"user\""));
    }

    #[test]
    fn a_misspelt_word_is_no_dimension() {
        assert_eq!(Per::parse("user_model"), Ok(Per::UserModel));
        assert_eq!(Per::parse("mission"), Ok(Per::Other("mission".into())));
        for text in ["users", "modle", "work-space", "", "Mission", "a b"] {
            assert!(Per::parse(text).is_err(), "{text}");
        }
    }
}
