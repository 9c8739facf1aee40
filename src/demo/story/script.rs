//! What happens on which day of the story.

use jiff::civil::Date;

use super::Step;
use crate::demo::change::Change;
use crate::demo::model::{NewThread, Role, ThreadEdit};
use crate::demo::rng::SplitMix;
use crate::demo::seed;
use crate::domain::money::Micros;
use crate::domain::time::{SignedDuration, Timestamp, plus, plus_days, start_of_utc_day};

/// Someone in the story.
pub struct Person {
    pub number: u64,
    pub name: &'static str,
    pub email: &'static str,
    pub role: Role,
    /// What they spend on a usual day.
    pub usual_cents: u64,
    /// Day and minute; `None`: was there before.
    pub joins: Option<(i64, i64)>,
    /// Day and minute.
    pub leaves: Option<(i64, i64)>,
}

const ANA: Person = person(0, "Ana", "ana@example.com", 1_400);
const BO: Person = person(1, "Bo", "bo@example.com", 1_100);
const CY: Person = Person { joins: Some((0, at(13, 24))), ..person(2, "Cy", "cy@example.com", 800) };
const DEE: Person = Person { leaves: Some((1, at(14, 5))), ..person(3, "Dee", "dee@example.com", 900) };
const ELI: Person = Person { role: Role::Admin, ..person(4, "Eli", "eli@example.com", 700) };
const FAY: Person = Person { joins: Some((2, at(9, 36))), ..person(5, "Fay", "fay@example.com", 600) };
/// Everyone, by number.
pub const CAST: [Person; 6] = [ANA, BO, CY, DEE, ELI, FAY];

/// Minutes of the day at which ordinary spend is booked, with how much of the day's it is by then, in percent.
const BOOKINGS: [(i64, i64); 4] = [(at(10, 0), 35), (at(13, 0), 55), (at(16, 0), 75), (at(19, 0), 100)];
/// Work that people start on the days that aren't written.
const LATER_WORK: [&str; 6] = [
    "Speed up the nightly build",
    "Explain the cache",
    "Drop the old importer",
    "Sort the imports",
    "Test the edge cases",
    "Draw the module map",
];

const fn person(number: u64, name: &'static str, email: &'static str, usual_cents: u64) -> Person {
    Person { number, name, email, role: Role::Member, usual_cents, joins: None, leaves: None }
}

/// Minutes of a day.
const fn at(hour: i64, minute: i64) -> i64 {
    hour * 60 + minute
}

/// All that happens on a day of the story, in order. Day 0 is `first`.
pub fn day(seed: u64, first: Date, number: i64) -> Vec<Step> {
    let mut page = Page { seed, first, number, steps: Vec::new() };
    match number {
        0 => runaway_agent(&mut page),
        1 => people_move(&mut page),
        2 => quiet_again(&mut page),
        3 => smaller_scare(&mut page),
        4 => tidying_up(&mut page),
        _ => page.later(),
    }
    // Day 0 books its spend itself: it is what the day is about.
    if number > 0 {
        page.ordinary_spend();
    }
    page.steps.sort_by_key(|step| step.at);
    page.steps
}

/// The first day: a thread left alone spends the team's whole day, and more.
fn runaway_agent(page: &mut Page) {
    page.start(at(12, 6), &BO, "Port the parser to Rust", "parser", 0);
    page.told(at(13, 24), "Cy joins as a member", vec![join(&CY)]);
    let agent = page.start(at(14, 30), &ANA, "Fix the flaky test", "website", 1);
    page.spend(at(15, 0), 50, &[]);
    for (minute, percent, total, thread, sentence) in [
        (at(16, 0), 60, 64, "51.20", "ana's agent goes round in circles: she is at $64 today"),
        (at(18, 30), 80, 112, "98.75", "ana's agent goes on: $112"),
        (at(21, 0), 100, 151, "137.40", "ana's agent passes $150"),
    ] {
        page.spend(minute, percent, &[(&ANA, total)]);
        let cost = Change::SetThreadUsage { id: agent.clone(), usd: Some(thread.to_owned()) };
        page.told(minute, sentence, vec![cost, page.touch(&agent, minute)]);
    }
    page.told(at(22, 12), "ana sees it and stops the agent", vec![page.touch(&agent, at(22, 12))]);
}

fn people_move(page: &mut Page) {
    let role = Change::SetRole { who: CY.email.to_owned(), role: Role::Admin };
    page.told(at(9, 12), "Cy becomes an admin", vec![role]);
    page.rename(at(10, 42), "bo renames his thread to", "Port the parser and its tests");
    page.told(at(14, 5), "Dee leaves the workspace", vec![Change::RemoveMember { who: DEE.email.to_owned() }]);
    page.start(at(15, 33), &CY, "Write the upgrade notes", "website", 0);
}

fn quiet_again(page: &mut Page) {
    page.told(at(9, 36), "Fay joins as a member", vec![join(&FAY)]);
    page.start(at(11, 18), &FAY, "Read the code base", "tools", 0);
}

/// Another spike, but within the budget.
fn smaller_scare(page: &mut Page) {
    let id = page.start(at(10, 24), &BO, "Compare every dependency", "tools", 0);
    page.spend(at(15, 0), 70, &[(&BO, 80)]);
    let cost = Change::SetThreadUsage { id: id.clone(), usd: Some("71.60".to_owned()) };
    page.told(at(15, 0), "bo's comparison gets dear: he is at $80 today", vec![cost, page.touch(&id, at(15, 0))]);
}

fn tidying_up(page: &mut Page) {
    let role = Change::SetRole { who: CY.email.to_owned(), role: Role::Member };
    page.told(at(9, 48), "Cy is a member again", vec![role]);
    let id = page.thread_id(0, 0);
    page.told(at(12, 30), "bo deletes his port of the parser", vec![Change::RemoveThread { id }]);
    page.start(at(15, 12), &ELI, "Plan the next release", "website", 0);
}

fn join(person: &Person) -> Change {
    Change::AddMember { name: person.name.to_owned(), email: person.email.to_owned(), role: person.role }
}

/// One day being written.
struct Page {
    seed: u64,
    first: Date,
    number: i64,
    steps: Vec<Step>,
}

impl Page {
    fn date(&self) -> Date {
        plus_days(self.first, self.number)
    }

    fn time(&self, minute: i64) -> Timestamp {
        plus(start_of_utc_day(self.date()), SignedDuration::from_mins(minute))
    }

    fn told(&mut self, minute: i64, sentence: &str, changes: Vec<Change>) {
        let day = self.date().strftime("%a").to_string();
        let sentence = format!("{day} {:02}:{:02}  {sentence}", minute / 60, minute % 60);
        self.steps.push(Step { at: self.time(minute), sentence: Some(sentence), changes });
    }

    fn silently(&mut self, minute: i64, changes: Vec<Change>) {
        self.steps.push(Step { at: self.time(minute), sentence: None, changes });
    }

    /// Id of the `which`th thread of a day.
    fn thread_id(&self, day: i64, which: u64) -> String {
        let at = start_of_utc_day(plus_days(self.first, day));
        SplitMix::of(&[self.seed, 0x0057_0247, day.unsigned_abs(), which]).thread_id(at)
    }

    /// Someone starts a thread, the `which`th of the day.
    fn start(&mut self, minute: i64, who: &Person, title: &str, repository: &str, which: u64) -> String {
        let id = self.thread_id(self.number, which);
        let thread = NewThread {
            id: Some(id.clone()),
            title: Some(title.to_owned()),
            creator: who.email.to_owned(),
            created_at: Some(self.time(minute)),
            repositories: vec![seed::repository(repository)],
            messages: 2,
            ..NewThread::default()
        };
        let sentence = format!("{} starts \"{title}\"", who.name.to_lowercase());
        self.told(minute, &sentence, vec![Change::AddThread { thread: Box::new(thread) }]);
        id
    }

    /// The thread was worked on; nothing a watcher would be told of.
    fn touch(&self, id: &str, minute: i64) -> Change {
        let edit = ThreadEdit { updated_at: Some(self.time(minute)), ..ThreadEdit::default() };
        Change::EditThread { id: id.to_owned(), edit: Box::new(edit) }
    }

    /// The first thread of the story gets another title.
    fn rename(&mut self, minute: i64, sentence: &str, title: &str) {
        let edit =
            ThreadEdit { title: Some(title.to_owned()), updated_at: Some(self.time(minute)), ..ThreadEdit::default() };
        let change = Change::EditThread { id: self.thread_id(0, 0), edit: Box::new(edit) };
        self.told(minute, &format!("{sentence} \"{title}\""), vec![change]);
    }

    fn ordinary_spend(&mut self) {
        for (minute, percent) in BOOKINGS {
            // What bo's bad afternoon cost stays.
            let extra: &[(&Person, i64)] = if self.number == 3 && minute >= at(15, 0) { &[(&BO, 80)] } else { &[] };
            self.spend(minute, percent, extra);
        }
    }

    /// Books what everyone has spent so far: `percent` of an ordinary day, or so many dollars.
    fn spend(&mut self, minute: i64, percent: i64, instead: &[(&Person, i64)]) {
        let now = (self.number, minute);
        let here = CAST.iter().filter(|p| p.joins.is_none_or(|j| j <= now) && p.leaves.is_none_or(|l| l > now));
        let changes = here
            .map(|person| {
                let ordinary = seed::ordinary(self.seed, person.number, self.date(), person.usual_cents);
                let dollars = instead.iter().find(|(p, _)| p.number == person.number).map(|(_, dollars)| *dollars);
                let usd = dollars.map_or(Micros(ordinary.0 / 100 * percent), |d| Micros(d * Micros::PER_DOLLAR));
                Change::SetUsage {
                    date: self.date(),
                    who: person.email.to_owned(),
                    usd: usd.to_decimal(),
                    models: seed::split_models(usd, true),
                }
            })
            .collect();
        self.silently(minute, changes);
    }

    /// A day like any other: somebody starts something.
    fn later(&mut self) {
        let mut rng = SplitMix::of(&[self.seed, 0x001a_7e40, self.number.unsigned_abs()]);
        let title = rng.pick(&LATER_WORK).copied().unwrap_or_default();
        let minute = at(9, 0) + i64::try_from(rng.below(360)).unwrap_or(0);
        if let Some(who) = rng.pick(&[ANA, BO, CY, ELI, FAY]) {
            self.start(minute, who, title, "tools", 0);
        }
    }
}
