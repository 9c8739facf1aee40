//! `ampbridge run`.

use super::Outcome;
use crate::app::Parts;
use crate::lifecycle::Lifecycle;

pub(super) async fn run(parts: Parts) -> Outcome {
    let life = Lifecycle::default();
    life.listen(parts.settings.bridge.shutdown_grace)?;
    let app = parts.open("run")?;
    app.run(&life).await?;
    Ok(())
}
