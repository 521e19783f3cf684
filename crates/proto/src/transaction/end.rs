use super::{Cause, Bump, Complete, Event, Identity, Level, Phase, Token, Intent, Transactions};
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending { pub(super) identity: Identity, pub(super) level: Level, pub(super) complete: Complete, pub(super) foreign: bool }
impl Transactions {
    pub(super) fn end(&mut self, _complete: Complete) {}
    pub(super) fn give_up(&mut self, _ending: Ending) {}
    pub(super) fn settle_between(&mut self, _: Option<Bump>) {}
    pub(super) fn must_abort(&mut self, cause: Cause, bump: Option<Bump>) { self.current.needs(bump); self.phase = Phase::MustAbort; self.events.push_back(Event::MustAbort(cause)); }
    pub(super) fn token(&self, identity: Identity, level: Level) -> Token { Token { identity, level, intent: Intent::Prepared } }
}
