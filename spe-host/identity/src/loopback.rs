//! Where the browser comes back to: one page on this machine (RFC 8252, section 7.3).

use std::{collections::HashMap, time::Duration};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::Html,
    routing::get,
};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

const PATH: &str = "/callback";

/// A page that waits for the browser.
pub(crate) struct Loopback {
    listener: TcpListener,
    address: String,
}

#[derive(Clone)]
struct Waiting {
    state: String,
    back: mpsc::Sender<Result<String, String>>,
}

impl Loopback {
    /// Takes a free port of this machine; nobody else's can reach it.
    pub(crate) async fn bind() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = format!("http://{}{PATH}", listener.local_addr()?);
        Ok(Self { listener, address })
    }

    /// What the issuer is told to send the browser to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The code that the issuer sends with the browser. Whoever does not know `state` is not answered.
    pub(crate) async fn code(self, state: &str, patience: Duration) -> Result<String, String> {
        let (back, mut came) = mpsc::channel(1);
        let waiting = Waiting { state: state.to_owned(), back };
        let page = Router::new().route(PATH, get(came_back)).with_state(waiting);
        let serving = tokio::spawn(async move { axum::serve(self.listener, page).await });
        let code = timeout(patience, came.recv()).await;
        // What was written to the browser is on its way before the listener goes.
        tokio::time::sleep(Duration::from_millis(50)).await;
        serving.abort();
        match code {
            Ok(Some(code)) => code,
            Ok(None) => Err("nobody listened for the browser".into()),
            Err(_) => Err(format!("nobody logged in within {} seconds; try again", patience.as_secs())),
        }
    }
}

async fn came_back(
    State(waiting): State<Waiting>,
    Query(query): Query<HashMap<String, String>>,
) -> (StatusCode, Html<&'static str>) {
    if query.get("state") != Some(&waiting.state) {
        return (StatusCode::BAD_REQUEST, Html("<p>This is not the login that <code>spe login</code> waits for.</p>"));
    }
    let said = match (query.get("code"), query.get("error")) {
        (Some(code), None) => Ok(code.clone()),
        (_, error) => {
            let why = query.get("error_description").or(error).map_or("no code came with the browser", String::as_str);
            Err(format!("the issuer did not log you in: {why:.500}"))
        }
    };
    let page = match said {
        Ok(_) => "<p>You are logged in for <code>spe</code>. You may close this window.</p>",
        Err(_) => "<p>You are not logged in; <code>spe login</code> says why. You may close this window.</p>",
    };
    waiting.back.send(said).await.ok();
    (StatusCode::OK, Html(page))
}
