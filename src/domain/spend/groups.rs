//! Who is who, and who belongs to which group.

use std::collections::BTreeMap;

use crate::domain::event::glob_matches;
use crate::domain::payload::Who;
use crate::domain::record::Person;

/// People as known by one or more sources. Shared, never copied.
#[derive(Debug, Clone, Default)]
pub struct People<'a>(pub Vec<&'a BTreeMap<String, Person>>);

impl<'a> People<'a> {
    pub fn get(&self, id: &str) -> Option<&'a Person> {
        self.0.iter().find_map(|known| known.get(id))
    }

    /// The id of whoever is called so: by id, else by email in any case.
    pub fn id_of(&self, name: &str) -> Option<String> {
        if self.get(name).is_some() {
            return Some(name.to_owned());
        }
        let by_email = |(_, person): &(&String, &Person)| {
            person.email.as_ref().is_some_and(|email| email.eq_ignore_ascii_case(name))
        };
        self.0.iter().flat_map(|known| known.iter()).find(by_email).map(|(id, _)| id.clone())
    }

    pub fn who(&self, id: &str) -> Who {
        Who::of(id, self.get(id))
    }
}

/// Groups of users, from the config: name to ids, emails or globs over them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups(pub BTreeMap<String, Vec<String>>);

impl Groups {
    /// The groups a user is in, by name. A user may be in several and is counted in each.
    pub fn of(&self, id: &str, person: Option<&Person>) -> Vec<&str> {
        let email = person.and_then(|p| p.email.as_deref());
        self.0
            .iter()
            .filter(|(_, members)| members.iter().any(|m| names(m, id) || email.is_some_and(|email| names(m, email))))
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

/// Emails are written in any case.
fn names(pattern: &str, text: &str) -> bool {
    glob_matches(&pattern.to_lowercase(), &text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_id_email_or_glob() {
        let groups = Groups(BTreeMap::from([
            ("backend".to_owned(), vec!["Ana@Example.com".to_owned(), "user_bo".to_owned()]),
            ("ci".to_owned(), vec!["ci-*".to_owned()]),
            ("all".to_owned(), vec!["*@example.com".to_owned()]),
        ]));
        let ana = Person { email: Some("ana@example.com".into()), name: None };
        assert_eq!(groups.of("user_ana", Some(&ana)), ["all", "backend"]);
        assert_eq!(groups.of("user_bo", None), ["backend"]);
        assert_eq!(groups.of("ci-7", None), ["ci"]);
        assert!(groups.of("user_cy", None).is_empty());
    }
}
