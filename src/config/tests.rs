//! What a wrong config is told, all at once.

use super::*;

#[test]
fn a_sinks_ca_file_counts_from_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let pem = rcgen::generate_simple_self_signed(["example.com".to_owned()]).unwrap().cert.pem();
    std::fs::write(folder.path().join("own-ca.pem"), pem).unwrap();
    let text = r#"
[sinks.mail]
kind = "email"
smtp_url = "smtps://mail.example.com"
from = "a@example.com"
to = "b@example.com"
ca_file = "own-ca.pem"
"#;
    assert!(load_text(text, folder.path()).is_ok());
    let problems = load_text(&text.replace("own-ca", "no-ca"), folder.path()).unwrap_err();
    assert!(problems[0].to_string().starts_with("sinks.mail.ca_file (line 7): /"), "{problems:?}");
}

#[test]
fn a_secret_that_can_not_be_had_is_one_problem_each() {
    let text = r#"
[sinks.ops]
kind = "slack"
webhook_url = { env = "NOPE" }
[sinks.hook]
kind = "webhook"
url = { env = "NOPE" }
secrets = [{ env = "NOPE" }, "whsec_c2hvcnQ="]
[sinks.mail]
kind = "email"
smtp_url = { file = "nope" }
from = "a@example.com"
to = ["b@example.com"]
"#;
    let problems = load_text(text, Path::new("/nonexistent")).unwrap_err();
    let mut paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "sinks.hook.secrets[0]",
        "sinks.hook.secrets[1]",
        "sinks.hook.url",
        "sinks.mail.smtp_url",
        "sinks.ops.webhook_url",
    ];
    assert_eq!(paths, expected, "{problems:?}");
}

const HOOK: &str = "[sinks.out]\nkind = \"console\"\n";

fn told(text: &str) -> Vec<String> {
    told_with(text, &[])
}

fn told_with(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ampbridge.toml");
    std::fs::write(&file, format!("{text}\n{HOOK}")).unwrap();
    let env = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    load(&file, &env).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn of_what_is_no_toml_only_that_is_told() {
    let one = |text: &str, said: &str| {
        let told = told(text);
        assert!(told.len() == 1 && told[0].starts_with(said), "{told:?}");
    };
    one("[bridge\nname = \"x\"\n[sources.a]\nkind = \"amp\"", "line 1, column 8: unclosed table");
    one("[sources.a]\nkind = \"amp\"\nclient_id = \nevry = \"1s\"", "line 3, column 13: ");
    let both = told("[sources.a]\nkind = \"amp\nclient_id = \n");
    assert!(both.len() > 1 && both.iter().all(|said| said.starts_with("line ")), "{both:?}");
    let twice = told("[sources.a]\nkind = \"amp\"\nkind = \"amp\"\nevry = \"1s\"\n");
    assert!(twice.iter().any(|said| said.contains("evry")), "a key that stands twice hides nothing: {twice:?}");
}

#[test]
fn one_table_is_a_list_of_one() {
    let text = r#"
[rules.daily]
kind = "budget"
limit_usd = 200
period = "day"
per = "user"
overrides = { scope = "user:ci-*", limit_usd = 5 }
[[routes]]
where = { field = "rule", equals = "daily" }
sinks = "out"
"#;
    assert_eq!(told(text), [""; 0]);
    let folder = tempfile::tempdir().unwrap();
    let settings = load_text(&format!("{text}{HOOK}"), folder.path()).unwrap();
    assert_eq!(settings.routes[0].fields.len(), 1);
    let Rule::Budget(budget) = &settings.rules[0].rule else { panic!("it is a budget") };
    assert_eq!(budget.overrides.len(), 1);
    let wrong = told(
        &text
            .replace("field = \"rule\", equals = \"daily\"", "field = 3, equal = 1")
            .replace("limit_usd = 5", "limit_usd = -5"),
    );
    let all = wrong.join("\n");
    for part in [
        "rules.daily.overrides[0].limit_usd (line 7): must not be negative",
        "routes[0].where.field (line 9): is integer `3`, and must be a text, in quotes",
        "routes[0].where.equal (line 9): unknown key; did you mean \"equals\"?",
    ] {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
}

#[test]
fn a_file_has_types_and_the_environment_has_texts() {
    let text = "[rules.daily]\nkind = \"budget\"\nperiod = \"day\"\nlimit_usd = \"200\"\nforecast = \"true\"\nthresholds = \"50,80\"\n";
    let mut wrong = told(text);
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "rules.daily.forecast (line 5): is the text \"true\", and must be true or false",
            "rules.daily.limit_usd (line 4): is the text \"200\", and must be a number",
            "rules.daily.thresholds (line 6): is the text \"50\", and must be a number",
        ]
    );
    let text = "[rules.daily]\nkind = \"budget\"\nperiod = \"day\"\nlimit_usd = { env = \"LIMIT\" }\n";
    let env = [
        ("LIMIT", "200"),
        ("AMPBRIDGE__RULES__DAILY__FORECAST", "false"),
        ("AMPBRIDGE__RULES__DAILY__THRESHOLDS", "50, 80"),
        ("AMPBRIDGE__STORE__KEEP_EVENTS", "5000"),
    ];
    assert_eq!(told_with(text, &env), [""; 0]);
    let env =
        [("LIMIT", "lots"), ("AMPBRIDGE__RULES__DAILY__FORECAST", "maybe"), ("AMPBRIDGE__STORE__KEEP_EVENTS", "5 000")];
    let mut wrong = told_with(text, &env);
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "rules.daily.forecast (AMPBRIDGE__RULES__DAILY__FORECAST): is the text \"maybe\", and must be true or false",
            "rules.daily.limit_usd (line 4, from the environment variable LIMIT): \"lots\" is not a decimal amount",
            "store.keep_events (AMPBRIDGE__STORE__KEEP_EVENTS): is the text \"5 000\", and must be a whole number",
        ]
    );
}

#[test]
fn no_problem_hides_another_and_none_is_told_twice() {
    let text = r#"
[[rules]]
name = "daily"
kind = "budget"
[sinks.hook]
kind = "webhook"
url = 5
secrets = [7]
timeout = "0s"
retry = { min = "1h", max = "1s" }
[[routes]]
sinks = "out"
digest = { every = "daily", at = "9 o'clock", timezone = "Mars" }
"#;
    let wrong = told(text);
    for part in [
        "rules[0] (line 2): has no name: write [rules.daily] instead of [[rules]]",
        "sinks.hook.url (line 7): is a number",
        "sinks.hook.secrets[0] (line 8): is a number",
        "sinks.hook.timeout (line 9): must be longer than 0",
        "sinks.hook.retry (line 10): ",
        "routes[0].digest.at (line 13): \"9 o'clock\" is no time of day",
        "routes[0].digest.timezone (line 13): there is no time zone \"Mars\"",
    ] {
        assert!(wrong.iter().any(|line| line.starts_with(part)), "{part} is not in\n{}", wrong.join("\n"));
    }
    assert_eq!(wrong.len(), 7, "{}", wrong.join("\n"));
}

#[test]
fn a_rule_names_a_source_once() {
    let text = r#"
[sources.a]
kind = "amp_missions"
api_key = "key"
[rules.daily]
kind = "budget"
limit_usd = 5
period = "day"
sources = ["a", "a"]
"#;
    assert_eq!(told(text), ["rules.daily.sources[1] (line 9): names \"a\" again; a source counts once"]);
}

#[test]
fn a_reference_that_names_nothing_says_so() {
    let source = |id: &str| format!("[sources.acme]\nkind = \"amp\"\nclient_secret = \"s\"\nclient_id = {id}\n");
    for (id, message) in [
        ("{ env = 1 }", "`env` is integer `1`, and must be the name of an environment variable, in quotes"),
        ("{ file = true }", "`file` is boolean `true`, and must be the name of a file, in quotes"),
        ("{ env = \"\" }", "names nothing: write the name between the quotes"),
        (
            "{ env = \"A\", file = \"B\" }",
            "is a table, and must be a text in quotes, { env = \"NAME\" } or { file = \"PATH\" }",
        ),
        ("12345678", "is a number, and must be a text in quotes, { env = \"NAME\" } or { file = \"PATH\" }"),
    ] {
        assert_eq!(told(&source(id)), [format!("sources.acme.client_id (line 4): {message}")], "{id}");
    }
}

#[test]
fn what_stands_where_a_table_should_be_is_not_shown() {
    let text = r#"
[sinks.hook]
kind = "webhook"
url = "https://example.com"
secrets = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
auth = "Bearer hunter2"
headers = "X-Key: hunter2"
"#;
    let mut wrong = told(text);
    wrong.sort();
    let expected = [
        "sinks.hook.auth (line 6): is a text, and must be a table",
        "sinks.hook.headers (line 7): is a text, and must be a table",
    ];
    assert_eq!(wrong, expected);
}

#[test]
fn what_is_finer_than_a_micro_dollar_is_refused() {
    let text = "[rules.daily]\nkind = \"budget\"\nperiod = \"day\"\nlimit_usd = 0.0000001\n";
    let wrong = "rules.daily.limit_usd (line 4): 0.0000001 has more than six decimal places; a millionth of a dollar is the least there is";
    assert_eq!(told(text), [wrong]);
    assert_eq!(told(&text.replace("0.0000001", "0.000001")), [""; 0]);
}

#[test]
fn keys_that_all_of_a_sort_have_are_hinted_at_too() {
    let source =
        |key: &str| format!("[sources.s]\nkind = \"amp\"\nclient_id = \"a\"\nclient_secret = \"b\"\n{key} = \"5s\"\n");
    let sink = |key: &str| format!("[sinks.s]\nkind = \"console\"\n{key} = \"5s\"\n");
    let rule = |key: &str| format!("[rules.s]\nkind = \"spike\"\n{key} = \"5s\"\n");
    for (text, meant) in [
        (source("evry"), "every"),
        (source("timout"), "timeout"),
        (source("max_rp"), "max_rps"),
        (source("proxxy"), "proxy"),
        (source("ca_fil"), "ca_file"),
        (source("client_i"), "client_id"),
        (sink("tmeout"), "timeout"),
        (sink("rety"), "retry"),
        (sink("formatt"), "format"),
        (rule("source"), "sources"),
    ] {
        let told = told(&text);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        assert!(told[0].ends_with(&format!("unknown key; did you mean {meant:?}?")), "{told:?}");
    }
}
