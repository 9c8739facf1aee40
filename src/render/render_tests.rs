use super::*;

fn stored(event: Event) -> Arc<StoredEvent> {
    Arc::new(StoredEvent { seen: event.time, event, why: Value::Null, origin: "acme".into(), routing: vec![] })
}

#[test]
fn every_template_renders_with_every_sample() {
    let renderer = Renderer::load(None)
        .unwrap_or_else(|e| panic!("{}", e.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")));
    let problems = renderer.check();
    assert!(problems.is_empty(), "{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn print_messages() {
    let renderer = Renderer::load(None).unwrap();
    for kind in samples::types() {
        for (variant, event) in samples::variants(kind) {
            if variant == "hostile" && kind != "budget.exceeded" {
                continue;
            }
            let events = [stored(event)];
            let context = Context { kind: DeliveryKind::Single, events: &events };
            let slack = renderer.slack(&context);
            println!("######## {kind} {variant} {:?}\n{}", slack.fallbacks, slack.value.text);
            for block in slack.value.blocks.unwrap().as_array().unwrap() {
                println!("  {block}");
            }
            let email = renderer.email(&context);
            println!("---- {} {:?}\n{}", email.value.subject, email.fallbacks, email.value.text);
        }
    }
}
