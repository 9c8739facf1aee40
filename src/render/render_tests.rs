use std::fs;

use tempfile::TempDir;

use super::*;

fn stored(event: Event) -> Arc<StoredEvent> {
    Arc::new(StoredEvent::bare(event))
}

fn events(kinds: &[&str]) -> Vec<Arc<StoredEvent>> {
    kinds.iter().map(|kind| stored(samples::sample(kind).unwrap())).collect()
}

fn single(events: &[Arc<StoredEvent>]) -> Context<'_> {
    Context { kind: DeliveryKind::Single, events }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn load(files: &[(&str, &str)]) -> Renderer {
    Renderer::load(Some(folder(files).path())).unwrap_or_else(|e| panic!("{e:#?}"))
}

fn problems(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let errors = Renderer::load(Some(folder(files).path())).unwrap_err();
    errors.into_iter().map(|e| (e.template, e.message)).collect()
}

#[test]
fn every_template_renders_with_every_sample() {
    let problems = Renderer::load(None).unwrap().check();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_copy_of_the_built_in_folder_works_as_it_is() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let renderer = Renderer::load(Some(&shipped)).unwrap_or_else(|e| panic!("{e:#?}"));
    assert_eq!(renderer.check(), []);
    let events = events(&["budget.exceeded"]);
    let plain = Renderer::load(None).unwrap();
    assert_eq!(renderer.slack(&single(&events)).value, plain.slack(&single(&events)).value);
}

#[test]
fn a_users_template_replaces_one_part_of_one_type_family_or_all() {
    let renderer = load(&[
        ("slack/budget.exceeded.text.txt", "type {{ event.data.spend_usd | money }}"),
        ("slack/budget.text.txt", "family {{ event.type }}"),
        ("slack/default.text.txt", "default {{ event.type }}"),
        (".hidden/x", "ignored"),
        ("README.md", "ignored"),
    ]);
    let text = |kind: &str| renderer.slack(&single(&events(&[kind]))).value;
    assert_eq!(text("budget.exceeded").text, "type $212.40");
    assert_eq!(text("budget.corrected").text, "family budget.corrected");
    assert_eq!(text("thread.created").text, "default thread.created", "before the built-in template of the type");
    let built_in = Renderer::load(None).unwrap().slack(&single(&events(&["budget.exceeded"]))).value;
    assert_eq!(text("budget.exceeded").blocks, built_in.blocks, "other parts stay");
    assert_eq!(renderer.check(), []);
}

#[test]
fn a_users_look_is_used_by_the_built_in_templates() {
    let renderer = load(&[("email/_card.body.txt", "{{ line }}\n{% block details %}{% endblock details %}by us\n")]);
    let text = renderer.email(&single(&events(&["budget.exceeded"]))).value.text;
    assert!(text.contains("By person") && text.ends_with("by us\n"), "{text}");
}

#[test]
fn all_problems_of_a_folder_are_told_at_once() {
    let found = problems(&[
        ("slack/default.blocks.json", "[\n{{ nope( }}]"),
        ("slack/budget.text.txt", "{{ line | shout }}"),
        ("email/default.body.txt", "{% include \"email/_mine.body.txt\" %}"),
        ("email/budget.body.md", ""),
        ("slack/bad name!.text.txt", "x"),
        ("pager/default.txt", ""),
        ("notes.txt", ""),
        ("shared/mine", ""),
        ("webhook/deep/default.body.json", "{}"),
        ("webhook/default.body.json", "{{ event | json }}"),
    ]);
    let expected = [
        ("email/budget.body.md", "<event type>.subject.txt or <event type>.body.txt or <event type>.body.html"),
        ("email/default.body.txt", "Unknown template `email/_mine.body.txt`"),
        ("notes.txt", "slack, email or webhook"),
        ("pager", "slack, email, webhook"),
        ("shared/mine", "can be replaced"),
        ("slack/bad name!.text.txt", "no event type"),
        ("slack/budget.text.txt", "Unknown filter `shout`"),
        ("slack/default.blocks.json", "slack/default.blocks.json, line 2, column"),
        ("webhook/deep", "no folders inside"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((template, message), (path, said)) in found.iter().zip(expected) {
        assert!(template == path && message.contains(said), "{template}: {message}");
    }
}

#[test]
fn unreadable_files_and_folders_are_problems() {
    let dir = folder(&[("slack/default.text.txt", "x")]);
    fs::write(dir.path().join("slack/budget.text.txt"), [0xff, 0xfe]).unwrap();
    let errors = Renderer::load(Some(dir.path())).unwrap_err();
    assert_eq!((errors.len(), errors[0].template.as_str()), (1, "slack/budget.text.txt"));
    let errors = Renderer::load(Some(&dir.path().join("missing"))).unwrap_err();
    assert!(errors[0].message.contains("can't be read"), "{errors:?}");
}

#[test]
fn templates_may_need_one_another_in_any_order() {
    let renderer = load(&[
        ("email/budget.body.txt", "{% extends \"email/mission.body.txt\" %}{% block x %}b{% endblock x %}"),
        ("email/mission.body.txt", "{% include \"email/_top.body.txt\" %}{% block x %}m{% endblock x %}"),
        ("email/_top.body.txt", "top "),
    ]);
    assert_eq!(renderer.email(&single(&events(&["budget.exceeded"]))).value.text, "top b\n");
}

#[test]
fn what_fails_falls_back_and_is_told() {
    let renderer = load(&[
        ("slack/budget.exceeded.blocks.json", "{{ event.data.nope }}"),
        ("slack/thread.created.blocks.json", "[{ \"type\": \"sektion\" }]"),
        ("slack/thread.created.text.txt", "  \n"),
        ("slack/default.text.txt", "{{ event.data.limit_usd | money }}"),
    ]);
    let rendered = renderer.slack(&single(&events(&["budget.exceeded"])));
    assert_eq!(rendered.value.text, "$200.00");
    assert!(rendered.value.blocks.is_some(), "the built-in default");
    assert_eq!(rendered.fallbacks.len(), 1);
    assert_eq!(rendered.fallbacks[0].template, "slack/budget.exceeded.blocks.json");
    assert!(rendered.fallbacks[0].error.contains("line 1, column"), "{:?}", rendered.fallbacks);

    let rendered = renderer.slack(&single(&events(&["thread.created"])));
    let failed: Vec<&str> = rendered.fallbacks.iter().map(|f| f.template.as_str()).collect();
    assert_eq!(failed, ["slack/thread.created.text.txt", "slack/default.text.txt", "slack/thread.created.blocks.json"]);
    assert!(rendered.value.text.starts_with("ana started"), "{}", rendered.value.text);
    assert!(!renderer.check().is_empty());
}

#[test]
fn when_every_template_fails_the_line_is_left() {
    let broken = [
        ("slack/_card.blocks.json", "{{ nope }}{% block details %}{% endblock details %}"),
        ("email/default.subject.txt", "{{ nope }}"),
        ("email/budget.body.txt", "{{ nope }}"),
    ];
    let mut event = samples::sample("budget.exceeded").unwrap();
    event.data.edit(serde_json::Map::clear);
    event.subject = "<!channel>".to_owned();
    let events = [stored(event)];
    let rendered = load(&broken).slack(&single(&events));
    assert_eq!(rendered.value.text, "🔴 Budget exceeded: &lt;!channel&gt;");
    let rendered = load(&broken).email(&single(&events));
    assert_eq!(rendered.value.subject, "Budget exceeded: <!channel>");
    assert!(rendered.value.text.starts_with("Budget exceeded: <!channel>\n"), "{}", rendered.value.text);
    assert!(rendered.value.html.contains("Budget exceeded: &lt;!channel&gt;"));
    assert!(!rendered.fallbacks.is_empty());
}

#[test]
fn nothing_is_too_odd_for_a_line() {
    let renderer = Renderer::load(None).unwrap();
    for kind in samples::types() {
        let mut event = samples::sample(kind).unwrap();
        for strip in [true, false] {
            if strip {
                event.data.edit(|data| data.values_mut().for_each(|v| *v = Value::Null));
            } else {
                event.data.edit(serde_json::Map::clear);
            }
            let line = renderer.line(&event);
            assert!(!line.is_empty() && line.lines().count() == 1, "{kind}: {line}");
            let events = [stored(event.clone())];
            let (slack, email) = (renderer.slack(&single(&events)).value, renderer.email(&single(&events)).value);
            assert!(!slack.text.is_empty() && !email.subject.is_empty() && !email.text.is_empty(), "{kind}");
        }
    }
}

#[test]
fn a_webhook_body_is_made_by_a_users_template_only() {
    assert!(Renderer::load(None).unwrap().webhook(&single(&events(&["budget.exceeded"]))).is_none());
    let renderer = load(&[
        (
            "webhook/budget.body.json",
            r#"{"usd": {{ event.data.spend_usd }}, "who": "{{ event.data.rule }}", "top": {{ event.data.top | json }},}"#,
        ),
        ("webhook/thread.created.body.json", "not json"),
    ]);
    let body = renderer.webhook(&single(&events(&["budget.exceeded"]))).unwrap();
    assert_eq!(
        (&body.value["usd"], &body.value["top"]["users"][0]["who"]["name"]),
        (&Value::from(212.4), &Value::from("ana"))
    );
    let created = events(&["thread.created"]);
    let fallen = renderer.webhook(&single(&created)).unwrap();
    assert_eq!(fallen.value, serde_json::to_value(&created[0].event).unwrap(), "the event itself");
    assert_eq!(fallen.fallbacks.len(), 1);
    assert!(renderer.webhook(&single(&events(&["member.added"]))).is_none());
    assert_eq!(renderer.check().len(), 1);
}

#[test]
fn check_tries_templates_of_types_it_has_no_sample_of() {
    let renderer = load(&[
        ("slack/balance.low.text.txt", "{{ event.data.band_after }}"),
        ("slack/content.failed.text.txt", "{{ event.data.after }}"),
        ("slack/model.text.txt", "{{ event.data.nonsense }}"),
        ("slack/budget.exceded.text.txt", "{{ line }}"),
    ]);
    let failed: Vec<String> = renderer.check().into_iter().map(|e| e.to_string()).collect();
    assert_eq!(failed.len(), 2, "{failed:#?}");
    assert_eq!(failed[0], "template slack/budget.exceded.text.txt: no event has the type budget.exceded");
    assert!(failed[1].contains("slack/model.text.txt, line 1, column"), "{}", failed[1]);
}

#[test]
fn several_events_make_one_message() {
    let renderer = Renderer::load(None).unwrap();
    let events = events(&["thread.created", "thread.created", "member.added"]);
    let group = renderer.email(&Context { kind: DeliveryKind::Group, events: &events }).value;
    assert_eq!(group.subject, "3 events: 2 threads created, 1 member added");
    assert_eq!(group.text.matches("- ana started").count(), 2, "{}", group.text);
    let update = renderer.email(&Context { kind: DeliveryKind::Update, events: &events }).value;
    assert_eq!(update.subject, "cy (cy@example.com) joined acme as member", "the newest");
    let reminder = renderer.email(&Context { kind: DeliveryKind::Reminder, events: &events }).value;
    assert!(reminder.subject.starts_with("Still open: "), "{}", reminder.subject);
}

#[test]
fn a_thousand_events_in_one_message_stay_within_the_limits() {
    let renderer = Renderer::load(None).unwrap();
    let event = stored(samples::hostile("thread.created").unwrap());
    let events = vec![event; 1_000];
    let context = Context { kind: DeliveryKind::Group, events: &events };
    let slack = renderer.slack(&context);
    assert_eq!(slack.fallbacks, []);
    assert!(slack.value.text.chars().count() <= 4_000);
    assert!(slack.value.blocks.unwrap().to_string().contains("…and 900 more"));
    let email = renderer.email(&context);
    assert_eq!(email.fallbacks, []);
}

#[test]
fn no_events_at_all_still_make_a_message() {
    let renderer = Renderer::load(None).unwrap();
    let context = Context { kind: DeliveryKind::Group, events: &[] };
    assert!(!renderer.slack(&context).value.text.is_empty());
    assert!(!renderer.email(&context).value.subject.is_empty());
}
