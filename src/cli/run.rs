//! `ampbridge run`.

use super::{Outcome, check};
use crate::app::Parts;
use crate::lifecycle::Lifecycle;

pub(super) async fn run(parts: Parts) -> Outcome {
    check::templates(&parts)?;
    let life = Lifecycle::default();
    life.listen(parts.settings.bridge.shutdown_grace)?;
    let app = parts.open("run")?;
    app.run(&life).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Failure;
    use crate::config;

    #[tokio::test]
    async fn a_template_that_fails_is_told_before_anything_is_started() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("mine/slack")).unwrap();
        std::fs::write(folder.path().join("mine/slack/default.text.txt"), "{{ event.nope }}").unwrap();
        let settings = config::load_text("[bridge]\ntemplates_dir = \"mine\"\n", folder.path()).unwrap();
        let outcome = run(Parts::assemble(settings).unwrap()).await;
        assert!(
            matches!(&outcome, Err(Failure::Config(p)) if p[0].message.contains("default.text.txt")),
            "{outcome:?}"
        );
        assert!(!folder.path().join("ampbridge-data").exists(), "the store was opened");
    }
}
