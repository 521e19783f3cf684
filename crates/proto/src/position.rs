//! Where the consumer stands in one partition: which offset to hand out next, which to fetch next,
//! and what to find out before either can go on.
//!
//! - I1: the position moves when something is handed out (or skipped because it holds nothing to
//!   hand out), never when it is fetched.
//! - I2: only a positive answer of a broker moves it elsewhere: a looked-up offset, or an
//!   out-of-range answer confirmed by the log's bounds and allowed by the policy.
//! - I3: an answer to a question from before a seek, a failure or another assignment changes
//!   nothing: each carries the [`Token`] under which it was asked.
//! - I4: at most one look-up is unanswered.
//!
//! Not for leaders, retries in time, or the bytes themselves.

mod survey;
mod terms;

pub use survey::{Survey, survey};
pub use terms::{
    FetchFrom, Lookup, LookupAnswer, OutOfRange, OutOfRangeFault, OutOfRangePolicy, Phase,
    PositionEvent, Query, Side, Start, Stop, Token,
};

/// The state behind [`Phase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Resolving(Start),
    Fetching,
    CheckingStart,
    CheckingEnd { start: i64 },
    Resetting { side: Side, to: OutOfRange },
    Blocked,
    Failed,
}

/// One partition's position.
#[derive(Clone, Debug)]
pub struct Position {
    policy: OutOfRangePolicy,
    token: Token,
    state: State,
    stop: Stop,
    asked: Option<Query>,
    position: Option<i64>,
    fetched_to: i64,
    leader_epoch: Option<i32>,
}

impl Position {
    /// A position that begins at `start`. With [`Stop::AtEnd`], the log's end is looked up first.
    #[must_use]
    pub fn new(start: Start, policy: OutOfRangePolicy, stop: Stop, token: Token) -> Self {
        let mut position = Self {
            policy,
            token,
            state: State::Failed,
            stop,
            asked: None,
            position: None,
            fetched_to: 0,
            leader_epoch: None,
        };
        position.seek(start, token);
        position
    }

    /// The next offset to hand out; `None` until it is known.
    #[must_use]
    pub fn position(&self) -> Option<i64> {
        self.position
    }

    /// The leader epoch of the last batch handed out (KIP-320).
    #[must_use]
    pub fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }

    /// The offset to stop at, where one was captured.
    #[must_use]
    pub fn stop_offset(&self) -> Option<i64> {
        match self.stop {
            Stop::At(end) => Some(end),
            Stop::Never | Stop::AtEnd => None,
        }
    }

    /// What the partition is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Failed => Phase::Failed,
            State::Resolving(_) => Phase::Resolving,
            _ if self.stop == Stop::AtEnd => Phase::Resolving,
            State::Fetching => Phase::Fetching,
            State::CheckingStart | State::CheckingEnd { .. } | State::Resetting { .. } => {
                Phase::CheckingRange
            }
            State::Blocked => Phase::Blocked,
        }
    }

    /// Whether an answer asked under `token` still counts. // I3
    #[must_use]
    pub fn is_current(&self, token: Token) -> bool {
        self.token == token
    }

    /// Whether everything up to the offset to stop at was handed out.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match (self.stop, self.position) {
            (Stop::At(end), Some(position)) => position >= end && !self.checks_range(),
            _ => false,
        }
    }

    fn checks_range(&self) -> bool {
        self.phase() == Phase::CheckingRange
    }

    /// A position chosen beyond the end where reading stops is no reading to the end: it may lie
    /// outside the log.
    fn doubt_start(&mut self) {
        let beyond = matches!((self.stop, self.position), (Stop::At(end), Some(at)) if at > end);
        if beyond && self.state == State::Fetching {
            self.state = State::CheckingStart;
        }
    }

    /// Jumps. Whatever was asked or fetched before is void. A captured end stays.
    pub fn seek(&mut self, start: Start, token: Token) {
        self.token = token;
        self.asked = None;
        self.leader_epoch = None;
        match start {
            Start::Offset(offset) => {
                self.go_to(offset);
                self.doubt_start();
            }
            other => {
                self.position = None;
                self.state = State::Resolving(other);
            }
        }
    }

    /// Stops at an error until the next seek; the position stays. Whatever was asked or fetched is
    /// void.
    pub fn fail(&mut self, token: Token) {
        self.token = token;
        self.asked = None;
        self.state = State::Failed;
    }

    /// What has to be looked up now, handed out once. // I4
    pub fn poll_lookup(&mut self) -> Option<Lookup> {
        if self.asked.is_some() {
            return None;
        }
        let query = self.needed_lookup()?;
        self.asked = Some(query);
        let token = self.token;
        Some(Lookup { token, query })
    }

    /// Whether [`Self::poll_lookup`] would yield something.
    #[must_use]
    pub fn needs_lookup(&self) -> bool {
        self.asked.is_none() && self.needed_lookup().is_some()
    }

    fn needed_lookup(&self) -> Option<Query> {
        if self.state == State::Failed {
            return None;
        }
        if self.stop == Stop::AtEnd {
            return Some(Query::Latest);
        }
        // What was fetched before the range was left is handed out first.
        let drained = self.position == Some(self.fetched_to);
        match self.state {
            State::Resolving(Start::Beginning) => Some(Query::Earliest),
            State::Resolving(Start::End) => Some(Query::Latest),
            State::Resolving(Start::Timestamp(ms)) => Some(Query::Timestamp(ms)),
            State::CheckingStart if drained => Some(Query::Earliest),
            State::CheckingEnd { .. } if drained => Some(Query::Latest),
            State::Resetting { to, .. } => Some(match to {
                OutOfRange::Latest => Query::Latest,
                OutOfRange::Earliest | OutOfRange::Error => Query::Earliest,
            }),
            _ => None,
        }
    }

    /// A look-up ended.
    ///
    /// # Errors
    /// [`OutOfRangeFault`] when the position is outside the log and the policy says to stop; the
    /// caller then calls [`Self::fail`].
    pub fn handle_lookup(
        &mut self,
        token: Token,
        answer: LookupAnswer,
    ) -> Result<Option<PositionEvent>, OutOfRangeFault> {
        if !self.is_current(token) {
            return Ok(None); // I3
        }
        let Some(query) = self.asked.take() else {
            return Ok(None);
        };
        let offset = match answer {
            LookupAnswer::Found(offset) if offset >= 0 => offset,
            LookupAnswer::NoMatch
                if matches!(self.state, State::Resolving(Start::Timestamp(_))) =>
            {
                if matches!(query, Query::Timestamp(_)) {
                    self.state = State::Resolving(Start::End);
                }
                return Ok(None);
            }
            // I2: no answer is no reason to move, and a log without bounds is no answer.
            _ => return Ok(None),
        };
        if self.stop == Stop::AtEnd {
            self.stop = Stop::At(offset);
            self.doubt_start();
            return Ok(Some(PositionEvent::EndCaptured { offset }));
        }
        self.handle_offset(offset)
    }

    fn handle_offset(&mut self, offset: i64) -> Result<Option<PositionEvent>, OutOfRangeFault> {
        let from = self.fetched_to;
        match self.state {
            State::Resolving(_) => {
                self.go_to(offset);
                Ok(Some(PositionEvent::Resolved { offset }))
            }
            State::CheckingStart if from < offset => {
                self.leave_range(Side::Below, self.policy.below, offset, None)
            }
            State::CheckingStart => {
                self.state = State::CheckingEnd { start: offset };
                Ok(None)
            }
            State::CheckingEnd { start } if from > offset => {
                self.leave_range(Side::Above, self.policy.above, start, Some(offset))
            }
            State::CheckingEnd { .. } => {
                self.state = State::Fetching;
                Ok(Some(PositionEvent::InRangeAfterAll { offset: from }))
            }
            State::Resetting { side, .. } => Ok(Some(self.reset_to(side, offset))),
            State::Fetching | State::Blocked | State::Failed => Ok(None),
        }
    }

    /// The policy decides; a bound that is known already is not looked up again.
    fn leave_range(
        &mut self,
        side: Side,
        policy: OutOfRange,
        start: i64,
        end: Option<i64>,
    ) -> Result<Option<PositionEvent>, OutOfRangeFault> {
        match (policy, end) {
            (OutOfRange::Error, _) => {
                let offset = self.fetched_to;
                Err(OutOfRangeFault {
                    offset,
                    side,
                    start,
                    end,
                })
            }
            (OutOfRange::Earliest, _) => Ok(Some(self.reset_to(side, start))),
            (OutOfRange::Latest, Some(end)) => Ok(Some(self.reset_to(side, end))),
            (OutOfRange::Latest, None) => {
                self.state = State::Resetting { side, to: policy };
                Ok(None)
            }
        }
    }

    fn reset_to(&mut self, side: Side, to: i64) -> PositionEvent {
        let from = self.fetched_to;
        self.leader_epoch = None;
        self.go_to(to);
        PositionEvent::Reset { from, to, side }
    }

    fn go_to(&mut self, offset: i64) {
        self.position = Some(offset);
        self.fetched_to = offset;
        self.state = State::Fetching;
    }

    /// Where to fetch from, if fetching is possible and not all is fetched that is to be read.
    #[must_use]
    pub fn fetch_from(&self) -> Option<FetchFrom> {
        let wanted = match self.stop {
            Stop::Never => true,
            Stop::AtEnd => false,
            Stop::At(end) => self.fetched_to < end,
        };
        (wanted && self.state == State::Fetching).then_some(FetchFrom {
            token: self.token,
            offset: self.fetched_to,
        })
    }

    /// Whether an answer to a fetch from `asked` counts: nothing has moved since. // I3
    #[must_use]
    pub fn accepts(&self, asked: FetchFrom) -> bool {
        self.fetch_from() == Some(asked)
    }

    /// Bytes came: `survey` says how far they reach. Returns whether they count.
    pub fn handle_fetched(&mut self, asked: FetchFrom, survey: &Survey) -> bool {
        if !self.accepts(asked) {
            return false;
        }
        self.fetched_to = survey.next_offset.max(self.fetched_to);
        if survey.damaged {
            self.state = State::Blocked;
        }
        true
    }

    /// The broker answered OFFSET_OUT_OF_RANGE. Returns whether that counts.
    pub fn handle_out_of_range(&mut self, asked: FetchFrom) -> bool {
        let counts = self.accepts(asked);
        if counts {
            self.state = State::CheckingStart;
        }
        counts
    }

    /// Everything before `next` was handed out or holds nothing to hand out. Returns whether the
    /// position moved. // I1
    pub fn advance(&mut self, token: Token, next: i64, leader_epoch: Option<i32>) -> bool {
        let forward = self.position.is_some_and(|position| next > position);
        if !self.is_current(token) || !forward {
            return false;
        }
        self.position = Some(next);
        self.leader_epoch = leader_epoch.or(self.leader_epoch);
        true
    }
}

#[cfg(test)]
mod tests;
