//! Which sources a rule has looked at before. What a source has already spent when it is first read (at installation,
//! under another address, after a reset) is where a rule starts from, and no news.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::scene::Scene;

/// Sources that were counted, each as it was then ([`crate::domain::spend::SpendState::edition`]).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Met(BTreeMap<String, (u32, usize)>);

/// What a rule sees of its sources this time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Counted before.
    pub known: Vec<String>,
    /// Counted for the first time.
    pub fresh: Vec<String>,
    /// Some of these were counted before, and forgotten since.
    pub again: bool,
    /// Counted before, forgotten since, and yet to be read anew.
    pub forgotten: bool,
}

impl Met {
    /// Every source that can be counted now, as met: what a rule knew before it took note of that.
    pub fn all(scene: &Scene<'_>) -> Self {
        Self(scene.counted.iter().map(|source| (source.clone(), edition(scene, source))).collect())
    }

    /// Tells known sources from fresh ones, which are known from now on.
    pub fn meet(&mut self, scene: &Scene<'_>) -> Sight {
        let is_known = |source: &&String| self.0.get(*source) == Some(&edition(scene, source));
        let (known, fresh): (Vec<&String>, Vec<&String>) = scene.counted.iter().partition(is_known);
        let forgotten = scene.sources.iter().any(|s| self.0.contains_key(s) && !scene.counted.contains(s));
        let sight = Sight {
            again: fresh.iter().any(|source| self.0.contains_key(*source)),
            known: known.into_iter().cloned().collect(),
            fresh: fresh.into_iter().cloned().collect(),
            forgotten,
        };
        self.0.extend(sight.fresh.iter().map(|source| (source.clone(), edition(scene, source))));
        sight
    }
}

fn edition(scene: &Scene<'_>, source: &str) -> (u32, usize) {
    scene.status.get(source).map(|status| status.edition()).unwrap_or_default()
}
