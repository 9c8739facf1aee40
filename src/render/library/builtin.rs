//! The templates that come with the program, from `templates/`.

macro_rules! embedded {
    ($($path:literal)*) => {
        &[$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/", $path)))),*]
    };
}

/// Path below `templates/`, and text. Sorted.
pub const TEMPLATES: &[(&str, &str)] = embedded![
    "email/_card.body.html"
    "email/_card.body.txt"
    "email/_kit.body.html"
    "email/_kit.body.txt"
    "email/bridge.body.html"
    "email/bridge.body.txt"
    "email/budget.body.html"
    "email/budget.body.txt"
    "email/cost.body.html"
    "email/cost.body.txt"
    "email/default.body.html"
    "email/default.body.txt"
    "email/default.subject.txt"
    "email/delivery.body.html"
    "email/delivery.body.txt"
    "email/digest.body.html"
    "email/digest.body.txt"
    "email/group.body.html"
    "email/group.body.txt"
    "email/member.body.html"
    "email/member.body.txt"
    "email/sink.body.html"
    "email/sink.body.txt"
    "email/source.body.html"
    "email/source.body.txt"
    "email/thread.body.html"
    "email/thread.body.txt"
    "shared/bridge"
    "shared/budget"
    "shared/cost"
    "shared/default"
    "shared/delivery"
    "shared/digest"
    "shared/group"
    "shared/member"
    "shared/sink"
    "shared/source"
    "shared/thread"
    "slack/_card.blocks.json"
    "slack/_kit.blocks.json"
    "slack/bridge.blocks.json"
    "slack/budget.blocks.json"
    "slack/cost.blocks.json"
    "slack/default.blocks.json"
    "slack/default.text.txt"
    "slack/delivery.blocks.json"
    "slack/digest.blocks.json"
    "slack/group.blocks.json"
    "slack/member.blocks.json"
    "slack/sink.blocks.json"
    "slack/source.blocks.json"
    "slack/thread.blocks.json"
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut found = BTreeSet::new();
        for folder in std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
            for file in std::fs::read_dir(&folder).unwrap() {
                let path = file.unwrap().path();
                found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
        let listed: Vec<&str> = TEMPLATES.iter().map(|(path, _)| *path).collect();
        assert!(listed.is_sorted());
        assert_eq!(listed, found.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
