//! Scrape targets that misbehave, each in its own way: one server, a path per target
//! (reliability R22 and the scrape group of the malformed inputs).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weir_core::{Deadline, Stop, Tasks};

/// Path of a target, and what one of is to stand in the reason of its failure. The job is to have
/// `label_value_length_limit: 4096`; sizes go by the default body limit.
pub const EVIL_TARGETS: [(&str, &[&str]); 26] = [
    ("/huge-body", &["body size limit", "no answer from"]),
    ("/endless-body", &["body size limit", "no answer from"]),
    ("/many-samples", &["body size limit", "no answer from"]),
    ("/gzip-bomb", &["body size limit", "no answer from"]),
    ("/gzip-garbage", &["gzip"]),
    ("/byte-by-byte", &["no answer from"]),
    ("/silent", &["no answer from"]),
    ("/silent-headers", &["no answer from"]),
    ("/redirect-loop", &["more than 10 redirects"]),
    ("/cut-body", &["failed"]),
    ("/closed", &["failed"]),
    ("/unavailable", &["server returned HTTP status 503"]),
    ("/accepted", &["server returned HTTP status 202"]),
    ("/html", &["line 1: expected a metric name"]),
    ("/cut-line", &["line 2: "]),
    ("/no-eof", &["does not end with `# EOF`"]),
    ("/long-label", &["label_value_length_limit exceeded"]),
    ("/long-line", &["label_value_length_limit exceeded"]),
    ("/no-quotes", &["label value in double quotes"]),
    ("/value-range", &["too large for a 64-bit float"]),
    ("/hexadecimal", &["the value is not a number"]),
    ("/time-range", &["the timestamp is not valid"]),
    ("/carriage-returns", &["CR LF"]),
    ("/nul", &["line 1: "]),
    ("/latin-1", &["UTF-8"]),
    ("/protobuf", &["protobuf"]),
];

/// The server; stops when dropped.
#[derive(Debug)]
pub struct EvilTargets {
    address: SocketAddr,
    stop: Stop,
}

impl EvilTargets {
    /// Listens on a free port of 127.0.0.1. Paths that are not in [`EVIL_TARGETS`] behave well.
    ///
    /// # Errors
    /// The port could not be opened.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // Once, and not while somebody waits for it: a little over the default body limit.
        let bomb = Arc::new(packed(&vec![b'\n'; 65 << 20]));
        let (stop, tasks) = (Stop::default(), Tasks::default());
        let (stopped, spawner) = (stop.clone(), tasks.clone());
        tasks.spawn("evil targets", async move {
            loop {
                let connection = tokio::select! {
                    connection = listener.accept() => connection,
                    () = stopped.stopped() => return,
                };
                if let Ok((stream, _)) = connection {
                    let (stopped, bomb) = (stopped.clone(), bomb.clone());
                    spawner.spawn("connection", async move {
                        tokio::select! {
                            // The other side hangs up, and is right.
                            done = serve(stream, &bomb) => drop(done),
                            () = stopped.stopped() => {}
                        }
                    });
                }
            }
        });
        Ok(Self { address, stop })
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EvilTargets {
    fn drop(&mut self) {
        self.stop.stop(Deadline::after(Duration::ZERO));
    }
}

async fn serve(mut stream: TcpStream, bomb: &[u8]) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    answer(&mut stream, &path, bomb).await
}

async fn answer(stream: &mut TcpStream, path: &str, bomb: &[u8]) -> io::Result<()> {
    let label = |length: usize| format!("a{{x=\"{}\"}} 1\n", "y".repeat(length)).into_bytes();
    let body: Vec<u8> = match path {
        "/huge-body" => {
            head(stream, "Content-Length: 1073741824\r\n").await?;
            return flood(stream, |_| "a 1\n".repeat(16 << 10).into_bytes()).await;
        }
        "/endless-body" => {
            head(stream, "").await?;
            return flood(stream, |_| "a 1\n".repeat(16 << 10).into_bytes()).await;
        }
        "/many-samples" => {
            head(stream, "").await?;
            let lines = |at: usize| (at * 2000..(at + 1) * 2000).map(|n| format!("s_{n} 1\n"));
            return flood(stream, |at| lines(at).collect::<String>().into_bytes()).await;
        }
        "/gzip-bomb" => {
            head(stream, "Content-Encoding: gzip\r\n").await?;
            return stream.write_all(bomb).await;
        }
        "/gzip-garbage" => {
            head(stream, "Content-Encoding: gzip\r\n").await?;
            let body = packed(b"a 1\n");
            let broken = body.get(..body.len() - 6).unwrap_or_default();
            stream.write_all(broken).await?;
            return stream.write_all(b"garbage").await;
        }
        "/byte-by-byte" => {
            head(stream, "").await?;
            for byte in b"a 1\n".iter().cycle() {
                stream.write_all(&[*byte]).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            return Ok(());
        }
        "/silent" => std::future::pending().await,
        "/silent-headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Ty").await?;
            std::future::pending().await
        }
        "/redirect-loop" => {
            let redirect = b"HTTP/1.1 302 Found\r\nLocation: /redirect-loop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return stream.write_all(redirect).await;
        }
        "/cut-body" => {
            head(stream, "Content-Length: 1000\r\n").await?;
            return stream.write_all(b"a 1\nb 2\n").await;
        }
        "/closed" => return Ok(()),
        // With pages that would be good otherwise.
        "/unavailable" => return status(stream, "503 Service Unavailable").await,
        "/accepted" => return status(stream, "202 Accepted").await,
        "/html" => b"<html><body>a 1</body></html>\n".to_vec(),
        "/cut-line" => b"a 1\nb{x=\"".to_vec(),
        "/no-eof" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/openmetrics-text\r\n\r\n# TYPE a gauge\na 1\n")
                .await?;
            return Ok(());
        }
        "/protobuf" => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited\r\n\r\nno protobuf at all")
                .await?;
            return Ok(());
        }
        "/long-label" => label(64 << 10),
        "/long-line" => label(10 << 20),
        "/no-quotes" => b"a{x=y} 1\n".to_vec(),
        "/value-range" => b"a 1e999\n".to_vec(),
        "/hexadecimal" => b"a 0x1p4\n".to_vec(),
        "/time-range" => b"a 1 99999999999999999999\n".to_vec(),
        "/carriage-returns" => b"a 1\r\nb 2\r\n".to_vec(),
        "/nul" => b"a \0 1\n".to_vec(),
        "/latin-1" => b"a{x=\"caf\xe9\"} 1\n".to_vec(),
        _ => b"good 1\n".to_vec(),
    };
    head(stream, "").await?;
    stream.write_all(&body).await
}

/// The head of a text page; without a length the body ends with the connection.
async fn head(stream: &mut TcpStream, more: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain; version=0.0.4\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).await
}

/// A good page with another status.
async fn status(stream: &mut TcpStream, status: &str) -> io::Result<()> {
    let answer = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: text/plain; version=0.0.4\r\n\r\na 1\n"
    );
    stream.write_all(answer.as_bytes()).await
}

/// Sends blocks until the other side has enough.
async fn flood(stream: &mut TcpStream, block: impl Fn(usize) -> Vec<u8>) -> io::Result<()> {
    for at in 0.. {
        stream.write_all(&block(at)).await?;
    }
    Ok(())
}

fn packed(body: &[u8]) -> Vec<u8> {
    use weir_net::compress::{Encoder, Encoding};
    let mut out = Vec::new();
    let encoded = Encoder::default_of(Encoding::Gzip).encode(body, &mut out);
    if encoded.is_err() {
        out.clear();
    }
    out
}
