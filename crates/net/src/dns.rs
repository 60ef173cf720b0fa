//! DNS look-ups that the system's resolver has no call for: SRV, MX and NS records, and A and AAAA
//! with the same rules. For discovery; connections use the system's resolver.
//!
//! The rules are those of resolv.conf(5): search list, `ndots`, one server after the other; EDNS0,
//! and TCP when an answer was cut (RFC 1035, RFC 6891).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// What we take over UDP (RFC 6891 section 6.2.5).
const UDP_SIZE: u16 = 4096;
/// A server that has not answered after this time is given up.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A larger `resolv.conf` is no configuration.
const MAX_FILE: usize = 64 << 10;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Hosts and ports of a service.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail servers.
    Mx,
    /// Name servers.
    Ns,
}

/// What was found. Names end with a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Host and port.
    Srv(String, u16),
    /// Address.
    Address(IpAddr),
    /// Mail server.
    Mx(String),
    /// Name server.
    Ns(String),
}

/// Why nothing is known about a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name cannot be asked for.
    #[error("`{0}` is not a valid DNS name")]
    Name(String),
    /// The system's settings cannot be read.
    #[error("cannot read {path}: {why}")]
    Settings {
        /// The file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// No server gave an answer that counts.
    #[error("could not resolve `{name}`: {why}")]
    NoAnswer {
        /// The name.
        name: String,
        /// What the last server did.
        why: String,
    },
}

/// Which servers are asked, and for which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    dots: usize,
}

impl Resolver {
    /// The settings of this machine.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_system() -> Result<Self, DnsError> {
        Self::of_file(Path::new("/etc/resolv.conf"))
    }

    /// The settings of a file in the form of `resolv.conf`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, DnsError> {
        let failed = |why: String| DnsError::Settings {
            path: path.display().to_string(),
            why,
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        if text.len() > MAX_FILE {
            return Err(failed("it is too large".to_owned()));
        }
        Ok(Self::of_text(&text))
    }

    /// Settings of their own, for other servers than those of this machine.
    #[must_use]
    pub fn new(servers: Vec<SocketAddr>, search: Vec<String>, dots: usize) -> Self {
        Self {
            servers,
            search,
            dots,
        }
    }

    fn of_text(text: &str) -> Self {
        let mut found = Self::new(Vec::new(), Vec::new(), 1);
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    found
                        .servers
                        .extend(address.map(|ip| SocketAddr::new(ip, 53)));
                }
                Some("domain") => {
                    found.search = words.take(1).map(str::to_owned).collect();
                }
                Some("search") => found.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let dots = words.filter_map(|word| word.strip_prefix("ndots:"));
                    if let Some(dots) = dots.filter_map(|n| n.parse().ok()).next_back() {
                        found.dots = dots;
                    }
                }
                _ => {}
            }
        }
        if found.servers.is_empty() {
            let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
            found.servers.push(SocketAddr::new(here, 53));
        }
        found
    }

    /// The full names that a name may mean, in the order in which they are asked for.
    fn names(&self, name: &str) -> Vec<String> {
        if let Some(full) = name.strip_suffix('.') {
            return vec![full.to_owned()];
        }
        let searched = self
            .search
            .iter()
            .map(|domain| format!("{name}.{}", domain.trim_matches('.')));
        let mut names: Vec<String> = searched.collect();
        if name.matches('.').count() >= self.dots {
            names.insert(0, name.to_owned());
        } else {
            names.push(name.to_owned());
        }
        names
    }

    /// The records of a name: those of the first full name that there is. Empty if all servers say
    /// that none of the names exists.
    ///
    /// # Errors
    /// No answer for some name, so that nobody can say that it does not exist.
    pub async fn records(&self, name: &str, kind: RecordKind) -> Result<Vec<Record>, DnsError> {
        let mut failed = None;
        for full in self.names(name) {
            match self.ask_servers(&full, kind).await {
                Ok(Some(records)) => return Ok(records),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(Vec::new()), Err)
    }

    /// `None` if the name does not exist.
    async fn ask_servers(
        &self,
        name: &str,
        kind: RecordKind,
    ) -> Result<Option<Vec<Record>>, DnsError> {
        let mut why = "there is no server to ask".to_owned();
        for server in &self.servers {
            let answer = tokio::time::timeout(TIMEOUT, ask(*server, name, kind)).await;
            match answer {
                Ok(Ok(answer)) => match answer.code {
                    RCODE::NoError => return Ok(Some(answer.records)),
                    RCODE::NameError => return Ok(None),
                    code => why = format!("{server} answered {code:?}"),
                },
                Ok(Err(Failure::Name)) => return Err(DnsError::Name(name.to_owned())),
                Ok(Err(Failure::Other(error))) => why = format!("{server}: {error}"),
                Err(_) => why = format!("{server} did not answer within {TIMEOUT:?}"),
            }
        }
        Err(DnsError::NoAnswer {
            name: name.to_owned(),
            why,
        })
    }
}

struct Answer {
    code: RCODE,
    cut: bool,
    records: Vec<Record>,
}

enum Failure {
    Name,
    Other(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Other(error.to_string())
    }
}

async fn ask(server: SocketAddr, name: &str, kind: RecordKind) -> Result<Answer, Failure> {
    let id = fastrand::u16(..);
    let question = question(id, name, kind).map_err(|_| Failure::Name)?;
    let answer = over_udp(server, &question, id, kind).await?;
    if !answer.cut {
        return Ok(answer);
    }
    let answer = over_tcp(server, &question, id, kind).await?;
    if answer.cut {
        return Err(Failure::Other(
            "the answer is cut even over TCP (64 KiB)".to_owned(),
        ));
    }
    Ok(answer)
}

fn question(id: u16, name: &str, kind: RecordKind) -> simple_dns::Result<Vec<u8>> {
    let kind = match kind {
        RecordKind::Srv => TYPE::SRV,
        RecordKind::A => TYPE::A,
        RecordKind::Aaaa => TYPE::AAAA,
        RecordKind::Mx => TYPE::MX,
        RecordKind::Ns => TYPE::NS,
    };
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name)?;
    packet
        .questions
        .push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    *packet.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: UDP_SIZE,
        version: 0,
    });
    packet.build_bytes_vec()
}

async fn over_udp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    kind: RecordKind,
) -> Result<Answer, Failure> {
    let local: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind(SocketAddr::new(local, 0)).await?;
    // Connected: datagrams of others do not arrive.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; usize::from(UDP_SIZE)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What is no answer to this question is somebody else's.
        if let Some(answer) = read(buffer.get(..length).unwrap_or_default(), id, kind) {
            return Ok(answer);
        }
    }
}

async fn over_tcp(
    server: SocketAddr,
    question: &[u8],
    id: u16,
    kind: RecordKind,
) -> Result<Answer, Failure> {
    let too_long = |_| Failure::Other("the question is too long".to_owned());
    let length = u16::try_from(question.len()).map_err(too_long)?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(question).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    let wrong = || Failure::Other("it sent something else than an answer".to_owned());
    read(&buffer, id, kind).ok_or_else(wrong)
}

/// The records of the wanted kind in an answer; `None` if it is none to this question.
fn read(bytes: &[u8], id: u16, kind: RecordKind) -> Option<Answer> {
    let packet = Packet::parse(bytes).ok()?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let dotted = |name: &Name<'_>| format!("{name}.");
    let records = packet.answers.iter();
    let records = records.filter_map(|record| match (&record.rdata, kind) {
        (RData::SRV(srv), RecordKind::Srv) => Some(Record::Srv(dotted(&srv.target), srv.port)),
        (RData::A(a), RecordKind::A) => {
            Some(Record::Address(Ipv4Addr::from_bits(a.address).into()))
        }
        (RData::AAAA(a), RecordKind::Aaaa) => {
            Some(Record::Address(Ipv6Addr::from_bits(a.address).into()))
        }
        (RData::MX(mx), RecordKind::Mx) => Some(Record::Mx(dotted(&mx.exchange))),
        (RData::NS(ns), RecordKind::Ns) => Some(Record::Ns(dotted(&ns.0))),
        _ => None,
    });
    Some(Answer {
        code: packet.rcode(),
        cut: packet.has_flags(PacketFlag::TRUNCATION),
        records: records.collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn settings_are_read_as_resolvers_do() {
        let text = "# a comment\nnameserver 10.0.0.2\nnameserver fd00::2\nnameserver nonsense\n\
                    domain old\nsearch ns.svc.cluster.local svc.cluster.local.\noptions timeout:1 ndots:5\n";
        let found = Resolver::of_text(text);
        let servers = ["10.0.0.2:53", "[fd00::2]:53"].map(|text| text.parse().unwrap());
        assert_eq!(found.servers, servers);
        assert_eq!(
            found.names("web.other"),
            [
                "web.other.ns.svc.cluster.local",
                "web.other.svc.cluster.local",
                "web.other"
            ]
        );
        assert_eq!(found.names("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
        assert_eq!(found.names("full.name."), ["full.name"]);
        let none = Resolver::of_text("");
        assert_eq!(none.servers, ["127.0.0.1:53".parse().unwrap()]);
        assert_eq!(none.names("host"), ["host"]);
    }

    /// Answers over UDP and TCP; a name that begins with `cut` is cut over UDP.
    async fn server() -> SocketAddr {
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                let answer = answer(&buffer[..length], true);
                // First a stray one, which does not count.
                udp.send_to(b"nonsense", from).await.unwrap();
                if let Some(answer) = answer {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let length = stream.read_u16().await.unwrap();
                let mut question = vec![0; usize::from(length)];
                stream.read_exact(&mut question).await.unwrap();
                let answer = answer(&question, false).unwrap();
                let length = u16::try_from(answer.len()).unwrap();
                stream.write_all(&length.to_be_bytes()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        address
    }

    fn answer(question: &[u8], udp: bool) -> Option<Vec<u8>> {
        use simple_dns::rdata::{A, AAAA, CNAME, MX, NS, SRV};
        let asked = Packet::parse(question).unwrap();
        assert_eq!(asked.opt().unwrap().udp_packet_size, UDP_SIZE);
        let name = asked.questions[0].qname.to_string();
        let mut packet = Packet::new_reply(asked.id());
        let record =
            |rdata| simple_dns::ResourceRecord::new(Name::new("x").unwrap(), CLASS::IN, 1, rdata);
        let target = Name::new("t.example").unwrap();
        let found = match name.as_str() {
            "_web._tcp.example" => vec![RData::SRV(SRV {
                priority: 0,
                weight: 0,
                port: 8080,
                target,
            })],
            "cut.example" if udp => {
                packet.set_flags(PacketFlag::TRUNCATION);
                Vec::new()
            }
            "cut.example" | "host.example" => vec![
                RData::CNAME(CNAME(target)),
                RData::A(A {
                    address: 0x0a00_0001,
                }),
            ],
            "six.example" => vec![RData::AAAA(AAAA { address: 1 })],
            "mail.example" => vec![RData::MX(MX {
                preference: 1,
                exchange: target,
            })],
            "zone.example" => vec![RData::NS(NS(target))],
            "silent.example" => return None,
            "broken.example" => {
                *packet.rcode_mut() = RCODE::ServerFailure;
                Vec::new()
            }
            _ => {
                *packet.rcode_mut() = RCODE::NameError;
                Vec::new()
            }
        };
        packet.answers.extend(found.into_iter().map(record));
        Some(packet.build_bytes_vec().unwrap())
    }

    #[tokio::test]
    async fn records_of_every_kind_are_found_by_the_search_list() {
        let server = server().await;
        let resolver = Resolver::new(vec![server], vec!["nowhere".into(), "example".into()], 2);
        let target = || "t.example.".to_owned();
        for (name, kind, expected) in [
            ("_web._tcp", RecordKind::Srv, Record::Srv(target(), 8080)),
            ("host", RecordKind::A, Record::Address([10, 0, 0, 1].into())),
            ("cut", RecordKind::A, Record::Address([10, 0, 0, 1].into())),
            (
                "six.example.",
                RecordKind::Aaaa,
                Record::Address(Ipv6Addr::LOCALHOST.into()),
            ),
            ("mail", RecordKind::Mx, Record::Mx(target())),
            ("zone", RecordKind::Ns, Record::Ns(target())),
        ] {
            let found = resolver.records(name, kind).await;
            assert_eq!(found, Ok(vec![expected]), "{name}");
        }
    }

    #[tokio::test]
    async fn a_name_is_unknown_only_if_all_say_so() {
        let server = server().await;
        let dead = "127.0.0.1:1".parse().unwrap();
        let resolver = Resolver::new(vec![dead, server], vec!["example".into()], 1);
        assert_eq!(resolver.records("none", RecordKind::A).await, Ok(vec![]));
        let error = resolver.records("broken", RecordKind::A).await.unwrap_err();
        assert!(error.to_string().contains("ServerFailure"), "{error}");
        let long = format!("{}.", "a".repeat(70));
        let error = resolver.records(&long, RecordKind::A).await.unwrap_err();
        assert!(matches!(error, DnsError::Name(_)), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_given_up() {
        let server = server().await;
        let resolver = Resolver::new(vec![server], Vec::new(), 1);
        let error = resolver
            .records("silent.example", RecordKind::A)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("did not answer"), "{error}");
    }
}
