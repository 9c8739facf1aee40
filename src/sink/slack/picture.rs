//! A digest's spend chart, hung into the thread of its message.
//!
//! Invariant: the message is posted first and counts alone. Whatever becomes of the picture, the digest is neither sent
//! again nor held back. That is also why it is no image block: a message whose file Slack has not yet taken in is refused
//! as a whole.
//!
//! Source: <https://docs.slack.dev/messaging/working-with-files/#upload>.

use serde_json::Value;
use slack_morphism::api::{
    SlackApiFilesComplete, SlackApiFilesCompleteUploadExternalRequest, SlackApiFilesGetUploadUrlExternalRequest,
    SlackApiFilesUploadViaUrlRequest,
};
use slack_morphism::errors::SlackClientError;
use slack_morphism::{SlackChannelId, SlackTs};
use url::{Host, Url};

use super::Slack;
use super::connector::LastCall;
use super::settings::Way;
use super::verdict::Answer;
use crate::render::chart::{Chart, Theme};
use crate::sink::Message;

/// Where Slack itself takes files; at another API's address, that host and those below it.
const SLACK: &str = "slack.com";
const FILE: &str = "spend.png";
/// The token may post and yet not upload.
const NO_RIGHT: [&str; 4] = ["missing_scope", "not_allowed_token_type", "no_permission", "access_denied"];

/// Why there is no picture.
enum Miss {
    /// The token lacks the right to upload.
    NoRight,
    /// Anything else; without secrets once it has been redacted.
    Failed(String),
}

impl From<SlackClientError> for Miss {
    fn from(error: SlackClientError) -> Self {
        match &error {
            SlackClientError::ApiError(refusal) if NO_RIGHT.contains(&refusal.code.as_str()) => Self::NoRight,
            _ => Self::Failed(Answer::of(Err(error)).short()),
        }
    }
}

/// The chart of a message, if it has one.
pub fn of(message: &Message) -> Option<Chart> {
    Chart::of_event(&message.events.first()?.event)
}

impl Slack {
    /// Hangs the chart under the message that was just posted.
    pub(super) async fn illustrate(&self, message: &Message, chart: &Chart, posted: &Value) {
        let id = message.delivery.id.as_str();
        match self.upload(message, chart, posted).await {
            Ok(()) => tracing::debug!(sink = self.name, delivery = id, "chart of delivery {id} uploaded"),
            Err(Miss::NoRight) => {
                let told = self.told_no_pictures.swap(true, std::sync::atomic::Ordering::Relaxed);
                if !told {
                    tracing::warn!(
                        sink = self.name,
                        "the token of sink {} lacks the right files:write: digests go out without their chart",
                        self.name
                    );
                }
            }
            Err(Miss::Failed(reason)) => {
                let reason = self.redact.clean(&reason);
                tracing::warn!(sink = self.name, delivery = id, "delivery {id} went out without its chart: {reason}");
            }
        }
    }

    async fn upload(&self, message: &Message, chart: &Chart, posted: &Value) -> Result<(), Miss> {
        let Way::Bot { token, .. } = &self.way else { return Ok(()) };
        let text = |key| posted.get(key).and_then(Value::as_str).map(str::to_owned);
        let (Some(channel), Some(ts)) = (text("channel"), text("ts")) else { return Ok(()) };
        let png = draw(chart.clone()).await?;
        let client = self.client(message.now, &LastCall::default());
        let session = client.open_session(token);
        let place = SlackApiFilesGetUploadUrlExternalRequest::new(FILE.to_owned(), png.len()).with_alt_txt(chart.alt());
        let place = session.get_upload_url_external(&place).await?;
        if !takes_files(&place.upload_url.0, &self.way.target().url) {
            return Err(Miss::Failed("Slack names a place for the upload that is not its own".to_owned()));
        }
        let file = SlackApiFilesUploadViaUrlRequest::new(place.upload_url, png, "image/png".to_owned());
        session.files_upload_via_url(&file).await?;
        // The picture is a message in the channel, too.
        let turn = self.pacer.turn().await;
        if let Some(at) = turn.not_before() {
            tokio::time::sleep_until(at.into()).await;
        }
        turn.take();
        let file = SlackApiFilesComplete::new(place.file_id).with_title(chart.headline());
        let share = SlackApiFilesCompleteUploadExternalRequest::new(vec![file])
            .with_channel_id(SlackChannelId(channel))
            .with_thread_ts(SlackTs(ts));
        match session.files_complete_upload_external(&share).await {
            // It was taken; what Slack tells of the file is of no use here.
            Ok(_) | Err(SlackClientError::ProtocolError(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Drawing takes a while, in which others are to go on. The ground is light: Slack does not say how its readers see it,
/// and a light card is legible on either.
async fn draw(chart: Chart) -> Result<Vec<u8>, Miss> {
    match tokio::task::spawn_blocking(move || chart.png(Theme::Light)).await {
        Ok(Ok(png)) => Ok(png),
        Ok(Err(error)) => Err(Miss::Failed(error.to_string())),
        Err(_) => Err(Miss::Failed("the chart could not be drawn".to_owned())),
    }
}

/// Whether a place that an answer names is Slack's own: what is sent there is not for others.
fn takes_files(url: &Url, api: &Url) -> bool {
    if url.origin() == api.origin() {
        return true;
    }
    let Some(Host::Domain(host)) = url.host() else { return false };
    let below = |whose: &str| host == whose || host.strip_suffix(whose).is_some_and(|rest| rest.ends_with('.'));
    let own = api.domain().is_some_and(below) || below(SLACK);
    url.scheme() == "https" && url.port().is_none() && own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_go_to_slack_alone() {
        let takes = |url: &str, api: &str| takes_files(&url.parse().unwrap(), &api.parse().unwrap());
        let slack = "https://slack.com/api";
        for good in ["https://files.slack.com/upload/v1/abc", "https://slack.com/upload", "https://a.b.slack.com/"] {
            assert!(takes(good, slack), "{good}");
        }
        for bad in [
            "http://files.slack.com/upload",
            "https://files.slack.com.evil.example/upload",
            "https://evilslack.com/upload",
            "https://files.slack.com:8443/upload",
            "https://slack.com@evil.example/upload",
            "https://169.254.169.254/latest",
            "https://127.0.0.1/upload",
        ] {
            assert!(!takes(bad, slack), "{bad}");
        }
        assert!(takes("http://127.0.0.1:8080/upload", "http://127.0.0.1:8080/api"), "the configured address itself");
        assert!(!takes("http://127.0.0.1:8081/upload", "http://127.0.0.1:8080/api"));
        assert!(takes("https://files.slack-gov.com/upload", "https://slack-gov.com/api"));
        assert!(takes("https://files.slack.com/upload", "https://relay.example.com/api"), "a relay to Slack");
    }
}
