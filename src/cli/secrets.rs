//! `ampbridge secrets`.

use clap::Subcommand;
use serde_json::json;

use super::{Failure, Json, Outcome, output};
use crate::domain::signing::{SigningSecret, shared_secret, signing_key};
use crate::env::random_bytes;

#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Print a new secret to sign webhooks with. Nothing is kept.
    New {
        /// A pair of keys instead of one secret: `whsk_…` for the config, then `whpk_…` for the receiver.
        #[arg(long)]
        ed25519: bool,
        #[command(flatten)]
        json: Json,
    },
}

pub(super) fn run(command: &SecretsCommand) -> Outcome {
    let SecretsCommand::New { ed25519, json } = command;
    let failed = |why: &str| Failure::Failed(vec![why.to_owned()]);
    let random = random_bytes::<32>().ok_or_else(|| failed("the operating system gives no random numbers"))?;
    let text = if *ed25519 { signing_key(&random) } else { Some(shared_secret(&random)) };
    let text = text.ok_or_else(|| failed("no key could be made; try again"))?;
    let secret = SigningSecret::parse(&text).map_err(|e| failed(&e.to_string()))?;
    let public = secret.public();
    if json.json {
        output::json(&json!({
            "secret": text,
            "public": public,
            "scheme": secret.scheme().as_str(),
            "fingerprint": secret.fingerprint(),
        }));
        return Ok(());
    }
    output::line(&text);
    if let Some(public) = public {
        output::line(&public);
    }
    Ok(())
}
