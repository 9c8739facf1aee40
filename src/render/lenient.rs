//! JSON as templates make it: strict JSON, but a comma may stand before a closing bracket.

use serde_json::Value;

/// Reads JSON; commas before `]`, `}` and at the end are passed over.
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(&without_trailing_commas(text))
}

/// Blanks out trailing commas, so that line and column in errors stay true.
fn without_trailing_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_string = false;
    let mut escaped = false;
    // A comma is held back, with the white space after it, until it is known what follows.
    let mut held = String::new();
    let mut last = '[';
    for c in text.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if !held.is_empty() {
            if c.is_whitespace() {
                held.push(c);
                continue;
            }
            let trailing = matches!(c, ']' | '}');
            out.push(if trailing { ' ' } else { ',' });
            out.push_str(held.strip_prefix(',').unwrap_or_default());
            held.clear();
        }
        if c == ',' && !matches!(last, '[' | '{' | ',') {
            held.push(c);
        } else {
            in_string = c == '"';
            out.push(c);
        }
        if !c.is_whitespace() {
            last = c;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn trailing_commas_pass_and_nothing_else_does() {
        for (text, value) in [
            ("[1, 2, ]", json!([1, 2])),
            ("{\"a\": [ {\"b\": 1,\n} , ] , }", json!({"a": [{"b": 1}]})),
            (r#"["a,]", "b\",}", "\\",]"#, json!(["a,]", "b\",}", "\\"])),
            ("[1],", json!([1])),
        ] {
            assert_eq!(parse(text).unwrap(), value, "{text}");
        }
        for text in ["[,]", "[1,,2]", "[1 2]", "['a']", "{a: 1}", "[1", ""] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_true_place() {
        let error = parse("[\n1,\n2, \n nope,\n]").unwrap_err();
        assert_eq!((error.line(), error.column()), (4, 3), "{error}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn strict_json_reads_as_it_is(value in any_json()) {
            prop_assert_eq!(parse(&value.to_string()).unwrap(), value.clone());
            prop_assert_eq!(parse(&serde_json::to_string_pretty(&value).unwrap()).unwrap(), value);
        }
    }
}
