//! Bad input, the row about the config: exit 2, all problems at once, each with its key path, nothing started.

use crate::harness::{ACME, Bench, HEAD, HOOK, all_to};

const BAD: &str = r#"
[bridge]
name = "bridge"
timezone = "Europe/Nowhere"
templates_dir = "templates"
colour = "red"
[store]
path = "store"
sink = "process"
[admin]
listen = "127.0.0.1:0"
[sources.acme]
kind = "amp"
base_url = "http://example.com"
token_url = "$API/oauth2/token"
client_id = { env = "NOBODY_HAS_SET_THIS" }
client_secret = { file = "no/such/file" }
every = 60
[sources.files]
kind = "amp_treads"
path = "x"
[rules.daily]
kind = "budget"
limit_usd = -1
period = "day"
[rules.hourly]
kind = "budget"
limit_usd = 1
period = "hour"
[rules.twice]
kind = "spike"
[rules.twice]
kind = "spike"
[sinks.hook]
kind = "webhook"
url = "http://10.1.2.3/hook"
secrets = ["whsec_c2hvcnQ="]
[sinks.mail]
kind = "email"
smtp_url = "smtp://127.0.0.1:25"
from = "nobody"
[[routes]]
events = ["budget.[a-z]"]
sources = ["acmee"]
sinks = ["hoook"]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_of_a_config_is_listed_with_its_key_path_and_nothing_is_started() {
    let bench = Bench::start(&[BAD]).await;
    std::fs::create_dir_all(bench.path("templates/slack")).unwrap();
    std::fs::write(bench.path("templates/slack/thread.created.text.txt"), "{{ event.no_such_thing }}").unwrap();
    for command in ["check", "run", "once"] {
        let ran = bench.run(&[command]).await.exits(2);
        assert_eq!(ran.stdout, "", "{command}");
        for (path, why) in [
            ("bridge.timezone", "Europe/Nowhere"),
            ("bridge.colour", "unknown"),
            ("store.sink", "did you mean \"sync\"?"),
            ("sources.acme.base_url", "https"),
            ("sources.acme.client_id", "NOBODY_HAS_SET_THIS"),
            ("sources.acme.client_secret", "no/such/file"),
            ("sources.acme.every", "60"),
            ("sources.files.kind", "did you mean \"amp_threads\"?"),
            ("rules.daily.limit_usd", "negative"),
            ("rules.hourly.period", "hour"),
            ("rules.twice (line 32", "duplicate key"),
            ("sinks.hook.url", "allow_networks"),
            ("sinks.hook.secrets[0]", "24 to 64 bytes"),
            ("sinks.mail.from", "nobody"),
            ("sinks.mail.to", "is empty"),
            ("routes[0].events", "budget.[a-z]"),
            ("routes[0].sources", "did you mean \"acme\"?"),
            ("routes[0].sinks", "did you mean \"hook\"?"),
            ("bridge.templates_dir", "no_such_thing"),
        ] {
            let told = ran.stderr.lines().any(|line| line.trim_start().starts_with(path) && line.contains(why));
            assert!(told, "{command}: {path}: {why} is not in\n{}", ran.stderr);
        }
        assert_eq!(ran.stderr.matches("rules.hourly.period").count(), 1, "a wrong value is not missing as well");
        assert!(!bench.path("store").exists(), "{command} starts nothing");
    }
    assert_eq!(bench.workspace.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_is_a_problem_of_the_config() {
    let head = HEAD.replace("name = \"bridge\"", "name = \"bridge\"\ntemplates_dir = \"templates\"");
    let bench = Bench::start(&[&head, ACME, HOOK, &all_to(&["hook"])]).await;
    for (file, text, says) in [
        ("slack/thread.created.text.txt", "{{ event.no_such_thing }}", "no_such_thing"),
        ("email/default.subject.txt", "{{ event.type | shout_it }}", "shout_it"),
        ("slack/member.added.blocks.json", "[ {{ event.type ]", "member.added"),
        ("webhook/default.body.json", "{ not json", "webhook"),
    ] {
        let path = bench.path("templates").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        for command in ["check", "run"] {
            bench.run(&[command]).await.exits(2).says(&[says, "templates"]);
        }
        std::fs::remove_file(path).unwrap();
    }
    assert!(!bench.path("store").exists());
    bench.run(&["check"]).await.exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_command_line_is_exit_2_and_says_what_there_is() {
    let bench = Bench::start(&[HEAD, ACME, HOOK, &all_to(&["hook"])]).await;
    for (args, says) in [
        (&["once", "--source", "acne"][..], "acme"),
        (&["send-test", "--sink", "hok"], "hook"),
        (&["render", "--event", "thread.creatd"], "thread.created"),
        (&["onec"], "once"),
        (&["--config", "no/such.toml", "check"], "no/such.toml"),
        (&["deliveries", "retry"], "--sink"),
        (&["events", "list", "--since", "yesterday"], "2026"),
    ] {
        bench.run(args).await.exits(2).says(&[says]);
    }
    assert!(!bench.path("store").exists());
    bench.run(&["events", "show", "evt_none"]).await.exits(1).says(&["evt_none", "events list"]);
    bench.run(&["sinks", "enable", "hok"]).await.exits(1).says(&["hook"]);
}
