//! The fake Slack of the tests as a program, for its judges: Slack's own clients.
//!
//! Prints the address of its Web API and that of its incoming webhook, and runs until it is killed.

use std::io::Write as _;

#[path = "../tests/fakes/slack/mod.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "tests use the rest, and end by panicking")]
mod slack;

fn main() -> anyhow::Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let fake = slack::FakeSlack::start().await;
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "api {}/\nwebhook {}\ntoken {}\nchannel {}",
            fake.api_url(),
            fake.webhook_url(),
            slack::BOT_TOKEN,
            slack::CHANNEL
        )?;
        out.flush()?;
        drop(out);
        std::future::pending::<anyhow::Result<()>>().await
    })
}
