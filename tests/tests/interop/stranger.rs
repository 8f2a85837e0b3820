//! A route to a gateway that makes its clients look like remote ones: a proxy that reports a remote
//! address.
//!
//! A gateway admits every device on its own machine, and requires a person's approval for a device
//! that is forwarded from another one. The proxy tests that without a second machine.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::gateway::Gateway;

/// The proxy, which ends when dropped.
pub struct Stranger {
    /// The url to connect to.
    pub url: String,
    task: JoinHandle<()>,
}

impl Stranger {
    /// Starts a proxy in front of that gateway.
    pub async fn at(gateway: &Gateway) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let gateway =
            gateway.url.strip_prefix("ws://").expect("gateways are on loopback").to_owned();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let gateway = gateway.clone();
                // Both ends may disconnect at any time.
                tokio::spawn(async move { forward(client, &gateway).await.ok() });
            }
        });
        Self { url, task }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, gateway: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await?);
    }
    let end = request.len() - b"\r\n".len();
    request.splice(end..end, *b"X-Forwarded-For: 203.0.113.7\r\n");
    // The gateway is configured to trust this address as a proxy.
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into())?;
    let mut gateway = socket.connect(gateway.parse().expect("an address")).await?;
    gateway.write_all(&request).await?;
    copy_bidirectional(&mut client, &mut gateway).await?;
    Ok(())
}
