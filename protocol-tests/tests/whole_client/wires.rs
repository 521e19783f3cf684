//! Connections that are cut or fall silent, at any byte or at any time.
//!
//! What went out before the cut arrives: the broker carries it out.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use milena_net::{Address, BoxFuture, BoxedTransport, Connector};
use milena_sim::Dice;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::plan::Plan;

/// All connections of a run.
#[derive(Debug)]
pub(crate) struct Wires(Mutex<State>);

#[derive(Debug)]
struct State {
    brokers: Option<Arc<dyn Connector>>,
    dice: Dice,
    plan: Plan,
    calm: bool,
    links: Vec<Weak<Link>>,
    cuts: u64,
}

/// What both sides of a connection share with whoever cuts it.
#[derive(Debug, Default)]
struct Link(Mutex<LinkState>);

#[derive(Debug, Default)]
struct LinkState {
    cut: bool,
    healed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wires {
    pub(crate) fn new(seed: u64, plan: &Plan) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            brokers: None,
            dice: Dice::new(seed).fork(2),
            plan: plan.clone(),
            calm: false,
            links: Vec::new(),
            cuts: 0,
        })))
    }

    pub(crate) fn lead_to(&self, brokers: Arc<dyn Connector>) {
        lock(&self.0).brokers = Some(brokers);
    }

    /// While it is calm, new connections are sound. Old ones become so, or break if they are silent.
    pub(crate) fn set_calm(&self, calm: bool) {
        let mut state = lock(&self.0);
        state.calm = calm;
        let links: Vec<_> = state.links.iter().filter_map(Weak::upgrade).collect();
        drop(state);
        if calm {
            links.iter().for_each(|link| link.heal());
        }
    }

    pub(crate) fn cuts(&self) -> u64 {
        lock(&self.0).cuts
    }

    /// Cuts one of the connections.
    pub(crate) fn cut_one(&self, dice: &mut Dice) {
        let mut state = lock(&self.0);
        state.links.retain(|link| link.strong_count() > 0);
        if state.links.is_empty() {
            return;
        }
        let at = dice.index(state.links.len());
        if let Some(link) = state.links.swap_remove(at).upgrade() {
            state.cuts += 1;
            drop(state);
            link.cut();
        }
    }
}

impl Link {
    fn cut(&self) {
        self.change(|state| state.cut = true);
    }

    fn heal(&self) {
        self.change(|state| state.healed = true);
    }

    fn change(&self, change: impl FnOnce(&mut LinkState)) {
        let mut state = lock(&self.0);
        change(&mut state);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// What becomes of a connection.
struct Destiny {
    refused: bool,
    delay: Duration,
    /// After so many bytes written, and read.
    ends: [Option<(u64, End)>; 2],
    /// The most that is written or read at once.
    piece: usize,
    /// A cut looks like an orderly end to the reader.
    orderly: bool,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Cut,
    Silence,
}

impl State {
    fn destiny(&mut self) -> Destiny {
        let (dice, plan) = (&mut self.dice, &self.plan);
        if self.calm {
            return Destiny {
                refused: false,
                delay: Duration::ZERO,
                ends: [None, None],
                piece: usize::MAX,
                orderly: true,
            };
        }
        let mut end = || {
            let end = if dice.one_in(plan.cut) {
                End::Cut
            } else if dice.one_in(plan.stall) {
                End::Silence
            } else {
                return None;
            };
            let scale = dice.pick(&[100, 500, 3_000, 30_000]);
            Some((dice.below(scale), end))
        };
        let ends = [end(), end()];
        Destiny {
            refused: dice.one_in(plan.refuse),
            delay: Duration::from_millis(dice.pick(&[0, 0, 1, 30, 400])),
            ends,
            piece: dice.pick(&[usize::MAX, usize::MAX, 1_000, 17]),
            orderly: dice.one_in(2),
        }
    }
}

impl Wires {
    fn open(self: &Arc<Self>) -> (Option<Arc<dyn Connector>>, Destiny) {
        let mut state = lock(&self.0);
        (state.brokers.clone(), state.destiny())
    }

    fn join(&self, link: &Arc<Link>) {
        lock(&self.0).links.push(Arc::downgrade(link));
    }

    fn count_cut(&self) {
        lock(&self.0).cuts += 1;
    }
}

/// Connects through the wires.
#[derive(Debug)]
pub(crate) struct FaultyConnector(pub(crate) Arc<Wires>);

impl Connector for FaultyConnector {
    fn connect(
        &self,
        address: &Address,
        deadline: Instant,
    ) -> BoxFuture<'static, io::Result<BoxedTransport>> {
        let (wires, address) = (Arc::clone(&self.0), address.clone());
        Box::pin(async move {
            let (brokers, destiny) = wires.open();
            tokio::time::sleep(destiny.delay).await;
            let brokers = brokers.filter(|_| !destiny.refused);
            let brokers = brokers.ok_or(io::ErrorKind::ConnectionRefused)?;
            let inner = brokers.connect(&address, deadline).await?;
            let link = Arc::new(Link::default());
            wires.join(&link);
            Ok(Box::new(Wire {
                inner: Some(inner),
                link,
                wires,
                ends: destiny.ends,
                piece: destiny.piece,
                orderly: destiny.orderly,
            }) as BoxedTransport)
        })
    }
}

struct Wire {
    /// Gone once it is cut.
    inner: Option<BoxedTransport>,
    link: Arc<Link>,
    wires: Arc<Wires>,
    ends: [Option<(u64, End)>; 2],
    piece: usize,
    orderly: bool,
}

const WRITE: usize = 0;
const READ: usize = 1;

impl Wire {
    /// How many bytes may go now: an error once it is cut, pending once it is silent.
    fn room(&mut self, direction: usize, context: &Context<'_>) -> Poll<io::Result<usize>> {
        let mut link = lock(&self.link.0);
        let waker = Some(context.waker().clone());
        match direction {
            WRITE => link.writer = waker,
            _ => link.reader = waker,
        }
        let (cut, healed) = (link.cut, link.healed);
        drop(link);
        let silent = |end: &Option<(u64, End)>| matches!(end, Some((0, End::Silence)));
        if cut || (healed && self.ends.iter().any(silent)) {
            self.inner = None;
        } else if healed {
            self.ends = [None, None];
        }
        if self.inner.is_none() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        match self.ends[direction] {
            Some((0, End::Cut)) => {
                self.inner = None;
                self.wires.count_cut();
                self.link.cut();
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Some((0, End::Silence)) => Poll::Pending,
            Some((left, _)) => {
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                Poll::Ready(Ok(self.piece.min(left)))
            }
            None => Poll::Ready(Ok(self.piece)),
        }
    }

    fn count(&mut self, direction: usize, bytes: usize) {
        if let Some((left, _)) = &mut self.ends[direction] {
            *left = left.saturating_sub(bytes as u64);
        }
    }

    fn inner(&mut self) -> Pin<&mut BoxedTransport> {
        Pin::new(
            self.inner
                .as_mut()
                .expect("there is room only while it is there"),
        )
    }
}

macro_rules! ready {
    ($poll:expr) => {
        match $poll {
            Poll::Ready(Ok(value)) => value,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = match self.room(READ, context) {
            Poll::Ready(Err(_)) if self.orderly => return Poll::Ready(Ok(())),
            room => ready!(room),
        };
        let mut piece = [0; 4096];
        let room = room.min(piece.len()).min(out.remaining());
        let mut piece = ReadBuf::new(&mut piece[..room]);
        ready!(self.inner().poll_read(context, &mut piece));
        out.put_slice(piece.filled());
        self.count(READ, piece.filled().len());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.room(WRITE, context)).min(bytes.len());
        let written = ready!(self.inner().poll_write(context, &bytes[..room]));
        self.count(WRITE, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.room(WRITE, context));
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total > room {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(context, first.map_or(&[][..], |slice| slice));
        }
        let written = ready!(self.inner().poll_write_vectored(context, slices));
        self.count(WRITE, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_flush(context),
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}
