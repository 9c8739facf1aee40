//! `ampbridge source infer`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::Url;

use crate::cli::{Failure, Outcome, output};
use crate::http::{Cap, ClientOptions, HttpClient};
use crate::source::body;
use crate::source::origin::parse_url;
use crate::source::rest::infer::{Proof, Sample, infer};

/// Deadline of one call.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer, or file, that is read.
const BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(
    after_help = "Credentials come from environment variables, and the manifest names those, never their values:\n  \
    ampbridge source infer --url https://api.example.com/v1/jobs?limit=50 --bearer API_KEY > jobs.toml"
)]
pub(in crate::cli) struct InferArgs {
    /// The address of a list (or a document), with its parameters.
    #[arg(long, value_name = "URL")]
    url: Url,
    /// A saved answer instead of a call; twice for two answers, the later one second.
    #[arg(long = "file", value_name = "FILE", num_args = 1)]
    files: Vec<PathBuf>,
    /// The variable with a token: sent as `Authorization: Bearer …`.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "header")]
    bearer: Option<String>,
    /// A header and the variable with its value, `x-api-key=API_KEY`.
    #[arg(long, value_name = "NAME=VARIABLE")]
    header: Option<String>,
    /// Seconds between the two calls: what changes meanwhile is taken to change by itself.
    #[arg(long, value_name = "SECS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=600))]
    pause: u64,
}

pub(in crate::cli) async fn run(args: &InferArgs, env: &BTreeMap<String, String>) -> Outcome {
    let proof = proof(args)?;
    let samples = if args.files.is_empty() { fetch(args, &proof, env).await? } else { read(&args.files)? };
    let (Some(first), second) = (samples.first(), samples.get(1)) else {
        return Err(Failure::Usage("there is no answer to go by".to_owned()));
    };
    let proposal = infer(&args.url, &proof, first, second).map_err(|why| Failure::Failed(vec![why]))?;
    output::line(proposal.manifest.trim_end());
    for remark in &proposal.remarks {
        output::warning(remark);
    }
    Ok(())
}

fn proof(args: &InferArgs) -> Result<Proof, Failure> {
    match (&args.bearer, &args.header) {
        (Some(variable), _) => Ok(Proof::Bearer(variable.clone())),
        (None, Some(header)) => match header.split_once('=') {
            Some((name, variable)) if !name.is_empty() && !variable.is_empty() => {
                Ok(Proof::Header(name.to_owned(), variable.to_owned()))
            }
            _ => Err(Failure::Usage("--header takes NAME=VARIABLE, like x-api-key=API_KEY".to_owned())),
        },
        (None, None) => Ok(Proof::None),
    }
}

async fn fetch(args: &InferArgs, proof: &Proof, env: &BTreeMap<String, String>) -> Result<Vec<Sample>, Failure> {
    let secret = crate::domain::setting::Secret::new(args.url.as_str());
    parse_url(&secret, true).map_err(|what| Failure::Usage(format!("--url {what}")))?;
    let value = |variable: &String| {
        let found = env.get(variable).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        found.ok_or_else(|| Failure::Usage(format!("the environment variable {variable} is not set")))
    };
    let header = match proof {
        Proof::None => None,
        Proof::Bearer(variable) => Some(("authorization".to_owned(), format!("Bearer {}", value(variable)?))),
        Proof::Header(name, variable) => Some((name.clone(), value(variable)?)),
    };
    let client = HttpClient::new(ClientOptions::default()).map_err(|error| Failure::Failed(vec![error.to_string()]))?;
    let mut samples = Vec::new();
    for index in 0..2 {
        if index > 0 {
            tokio::time::sleep(Duration::from_secs(args.pause)).await;
        }
        samples.push(call(&client, &args.url, header.as_ref()).await.map_err(|why| Failure::Failed(vec![why]))?);
    }
    Ok(samples)
}

async fn call(client: &HttpClient, url: &Url, header: Option<&(String, String)>) -> Result<Sample, String> {
    let mut request = client.request(http::Method::GET, url.clone()).header("accept", "application/json");
    if let Some((name, value)) = header {
        let mut value = http::HeaderValue::try_from(value).map_err(|_| "the credentials can't be sent in a header")?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let reply = client.send(request, TIMEOUT, Cap::Fail(BYTES)).await.map_err(|error| error.to_string())?;
    if !reply.status.is_success() {
        return Err(format!("{} was answered {}", url.path(), reply.status.as_u16()));
    }
    let linked = reply
        .headers
        .get_all(http::header::LINK)
        .iter()
        .any(|link| link.to_str().is_ok_and(|text| text.contains("rel=\"next\"") || text.contains("rel=next")));
    sample(&reply.body, linked).map_err(|what| format!("{} was answered with {what}", url.path()))
}

fn read(files: &[PathBuf]) -> Result<Vec<Sample>, Failure> {
    if files.len() > 2 {
        return Err(Failure::Usage("two files at most: an answer, and a later one".to_owned()));
    }
    let one = |path: &PathBuf| {
        let bytes = read_capped(path).map_err(|why| format!("{}: {why}", path.display()))?;
        sample(&bytes, false).map_err(|what| format!("{} holds {what}", path.display()))
    };
    files.iter().map(one).collect::<Result<_, String>>().map_err(|why| Failure::Failed(vec![why]))
}

fn read_capped(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > BYTES { Err(format!("it is larger than {BYTES} bytes")) } else { Ok(bytes) }
}

fn sample(bytes: &[u8], linked: bool) -> Result<Sample, &'static str> {
    Ok(Sample { document: body::decode_any(bytes)?, linked })
}
