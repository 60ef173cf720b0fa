//! Sockets and the tasks that read them.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tracing::warn;
use weir_core::{Stop, Tasks};
use weir_net::NetError;
use weir_net::address::{Listener, listen_tcp};
use weir_net::datagram::{
    DatagramSocket, IpFamily, MAX_DATAGRAM, listen_udp, listen_unixgram,
};

use super::Intake;
use super::config::{Config, Transport};
use super::line::LineError;

/// Connections at a time; further ones wait to be accepted.
const MOST_CONNECTIONS: usize = 1024;

/// Datagrams that are still read after the stop, if they are there.
const MOST_LATE: usize = 4096;

/// The longest line of a stream.
const LONGEST_LINE: usize = 64 << 10;

/// An open socket.
#[derive(Debug)]
pub(super) enum Listening {
    Datagrams(DatagramSocket),
    Stream(TcpListener),
}

impl Listening {
    /// Binds what the configuration says.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub(super) fn open(config: &Config) -> Result<Self, NetError> {
        let endpoint = config.endpoint();
        let socket = match config.transport() {
            Some(Transport::Tcp) => {
                return match listen_tcp(endpoint)? {
                    Listener::Tcp(listener) => Ok(Self::Stream(listener)),
                    Listener::Unix(_) => Err(NetError::Config("tcp gave no TCP socket".into())),
                };
            }
            Some(Transport::Unixgram) => listen_unixgram(endpoint, config.socket_permissions)?,
            Some(Transport::Udp4) => listen_udp(endpoint, IpFamily::V4)?,
            Some(Transport::Udp6) => listen_udp(endpoint, IpFamily::V6)?,
            // Other names do not pass validation.
            Some(Transport::Udp) | None => listen_udp(endpoint, IpFamily::Any)?,
        };
        let buffer = usize::try_from(config.socket_buffer_size).unwrap_or(usize::MAX);
        if buffer > 0
            && let Err(error) = socket.set_receive_buffer(buffer)
        {
            warn!(buffer, "the receive buffer stays as it is: {error}");
        }
        Ok(Self::Datagrams(socket))
    }

    /// The address of a UDP socket.
    pub(super) fn udp_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Datagrams(socket) => socket.local_addr(),
            Self::Stream(_) => None,
        }
    }

    /// The address, with the port the system chose for port 0.
    #[cfg(test)]
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Datagrams(socket) => socket.local_addr(),
            Self::Stream(listener) => listener.local_addr().ok(),
        }
    }

    /// Reads until the stop. `alive` is held by every reader.
    pub(super) async fn read(
        self,
        intake: Arc<Intake>,
        tasks: Tasks,
        stop: Stop,
        alive: mpsc::Sender<()>,
    ) {
        match self {
            Self::Datagrams(socket) => read_datagrams(&socket, &intake, &stop).await,
            Self::Stream(listener) => accept(&listener, &intake, &tasks, &stop, &alive).await,
        }
        drop(alive);
    }
}

async fn read_datagrams(socket: &DatagramSocket, intake: &Intake, stop: &Stop) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut late = 0;
    loop {
        let received = tokio::select! {
            // What has come already is read before the stop counts.
            biased;
            received = socket.receive(&mut buffer) => received,
            () = stop.stopped() => return,
        };
        match received {
            Ok((length, sender)) => intake.take(sender, buffer.get(..length).unwrap_or(&[])),
            Err(error) => {
                complain(intake, &format!("cannot receive: {error}"));
                tokio::task::yield_now().await;
            }
        }
        // A sender that never pauses must not hold up the stop.
        late += usize::from(stop.is_stopped());
        if late > MOST_LATE {
            return;
        }
    }
}

fn complain(intake: &Intake, text: &str) {
    if let Some(left_out) = intake.meters.failures.say(text, intake.clock.monotonic()) {
        warn!(left_out, "{text}");
    }
}

async fn accept(
    listener: &TcpListener,
    intake: &Arc<Intake>,
    tasks: &Tasks,
    stop: &Stop,
    alive: &mpsc::Sender<()>,
) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (intake, stop, alive) = (Arc::clone(intake), stop.clone(), alive.clone());
                // All connections add up together: the reference names them by the local address.
                tasks.spawn("receiver statsd: connection", async move {
                    read_stream(stream, &intake, &stop).await;
                    drop((permit, alive));
                });
            }
            Err(error) => {
                complain(intake, &format!("cannot accept: {error}"));
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn read_stream(mut stream: TcpStream, intake: &Intake, stop: &Stop) {
    let sender = stream.local_addr().ok();
    let mut buffer = Vec::with_capacity(4096);
    let mut skipping = false;
    loop {
        buffer.reserve(4096);
        let read = tokio::select! {
            biased;
            read = stream.read_buf(&mut buffer) => read,
            () = stop.stopped() => Ok(0),
        };
        // A connection that breaks ends like one that is closed.
        let ended = stop.is_stopped() || !matches!(read, Ok(length) if length > 0);
        take_lines(&mut buffer, &mut skipping, ended, |lines| intake.take(sender, lines), |line| {
            intake.meters.drop_line(LineError::TooLong, line);
        });
        if ended {
            return;
        }
    }
}

/// Hands the whole lines of a buffer to `take` and keeps the last, unfinished one, unless the
/// stream has ended. Lines that are too long go to `refuse`, once.
pub(super) fn take_lines(
    buffer: &mut Vec<u8>,
    skipping: &mut bool,
    ended: bool,
    mut take: impl FnMut(&[u8]),
    mut refuse: impl FnMut(&[u8]),
) {
    let mut start = 0;
    if *skipping {
        match memchr::memchr(b'\n', buffer) {
            Some(end) => (start, *skipping) = (end + 1, false),
            None => return buffer.clear(),
        }
    }
    let whole = match memchr::memrchr(b'\n', buffer) {
        _ if ended => buffer.len(),
        Some(end) => (end + 1).max(start),
        None => start,
    };
    take(buffer.get(start..whole).unwrap_or(&[]));
    buffer.drain(..whole);
    if buffer.len() > LONGEST_LINE {
        refuse(buffer);
        *skipping = true;
        buffer.clear();
    }
}
