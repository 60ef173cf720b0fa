//! Datagrams that the kernel dropped because a program did not read in time.

use std::net::{IpAddr, SocketAddr};

/// Datagrams dropped at the UDP socket bound to `address` since it was bound: its buffer was full.
/// `None` where `/proc/net` does not tell.
#[must_use]
pub fn dropped_datagrams(address: SocketAddr) -> Option<u64> {
    let table = match address {
        SocketAddr::V4(_) => "/proc/self/net/udp",
        SocketAddr::V6(_) => "/proc/self/net/udp6",
    };
    drops_in(&std::fs::read_to_string(table).ok()?, address)
}

/// The `drops` column, the last one, of the row of an address.
fn drops_in(table: &str, address: SocketAddr) -> Option<u64> {
    let local = proc_address(address);
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let found = columns.nth(1)?;
        (found == local).then(|| columns.next_back()?.parse().ok())?
    })
}

/// An address as the kernel writes it there: words of 32 bits in the machine's byte order, then the
/// port, all hexadecimal.
fn proc_address(address: SocketAddr) -> String {
    let octets: Vec<u8> = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut text = String::with_capacity(40);
    for word in octets.chunks_exact(4) {
        let word = <[u8; 4]>::try_from(word).map_or(0, u32::from_ne_bytes);
        text.push_str(&format!("{word:08X}"));
    }
    text.push_str(&format!(":{:04X}", address.port()));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn what_nobody_reads_is_dropped_and_told() {
        for to in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = std::net::UdpSocket::bind(to) else {
                assert!(to.starts_with('['), "only IPv6 may be missing");
                continue;
            };
            let address = socket.local_addr().unwrap();
            assert_eq!(dropped_datagrams(address), Some(0));
            let sender = std::net::UdpSocket::bind(to).unwrap();
            let datagram = vec![b'x'; 60_000];
            for _ in 0..500 {
                sender.send_to(&datagram, address).unwrap();
            }
            assert!(dropped_datagrams(address).unwrap() > 0);
            drop(socket);
            assert_eq!(dropped_datagrams(address), None);
        }
    }

    #[test]
    fn the_row_of_an_address_is_found() {
        if cfg!(target_endian = "big") {
            // The table below was written by a little-endian machine.
            return;
        }
        let v4 = "127.0.0.1:2000".parse().unwrap();
        let v6 = "[::1]:8125".parse().unwrap();
        assert_eq!(proc_address(v6), "00000000000000000000000001000000:1FBD");
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
             12: 0100007F:07D0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 41\n";
        assert_eq!(drops_in(table, v4), Some(41));
        assert_eq!(drops_in(table, v6), None);
    }
}
