//! What the verbs that ask show, from arguments to text, on a database of their own; and files to be published.

mod by_hand;
mod dead_letters_again;
mod monthly_report;
mod reading;

use clap::{Args, Command, CommandFactory, Parser};
use serde_json::Value;

use super::*;
use crate::domain::outcome::Outcome;
use crate::handler::replay::Replays;
use crate::store::Session;
use crate::store::tests::{RULES, TestDatabase, adjustment, payment, refund, signup};

/// What a verb shows, or its error's text with the exit code.
async fn shown(db: &TestDatabase, line: &str) -> Result<String, String> {
    let words = std::iter::once("credits").chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    let mut session = ask::open(&db.database()).await.map_err(|error| told(&error))?;
    let session = &mut session;
    match &cli.verb {
        Verb::Balance(args) => balance::answer(session, args).await,
        Verb::Grants(args) => grants::answer(session, args).await,
        Verb::Explain(args) => explain::answer(session, args).await,
        Verb::Grant(args) => match grant::wanted(args) {
            Ok(wanted) => adjusted(db, session, &args.common, wanted).await,
            Err(error) => Err(error),
        },
        Verb::Revoke(args) => match revoke::wanted(session, args).await {
            Ok(wanted) => adjusted(db, session, &args.common, wanted).await,
            Err(error) => Err(error),
        },
        Verb::Regrant(args) => match regrant::wanted(session, args).await {
            Ok(wanted) => adjusted(db, session, &args.common, wanted).await,
            Err(error) => Err(error),
        },
        Verb::Waiting(args) => {
            let waiting::Verb::List(args) = &args.verb;
            waiting::list(session, args).await
        }
        Verb::Ledger(args) => match &args.verb {
            ledger::Verb::List(args) => {
                let mut out = Vec::new();
                let listed = ledger::list(session, args, &mut out).await;
                listed.map(|()| String::from_utf8(out).unwrap())
            }
            ledger::Verb::Verify(args) => {
                ledger::verify(session).await.map(|finding| ledger::verdict(&finding, args.format))
            }
        },
        Verb::Report(args) => report::answer(session, args).await,
        Verb::DeadLetters(args) => match &args.verb {
            dead_letters::Verb::List(args) => dead_letters::list(session, args).await,
            dead_letters::Verb::Show(args) => dead_letters::show_one(session, args).await,
            dead_letters::Verb::Discard(args) => dead_letters::discard::answer(session, args).await,
            dead_letters::Verb::Replay(args) => {
                let (database, numbers) = (db.database(), args.wanted(session).await.map_err(|error| told(&error))?);
                let mut replays = Replays::new(&database, db.rules());
                let shown = dead_letters::replay::answer(&mut replays, &numbers, args, args.dry_run).await;
                shown.map(|shown| shown.text)
            }
        },
        Verb::Rules(args) => match &args.verb {
            rules::Verb::Diff(args) => {
                let rules = RulesFile::read(&args.rules).map_err(|error| error.to_string())?.rules;
                rules::diff::answer(session, &rules, args).await
            }
            rules::Verb::Show(args) => rules::show::answer(session, args).await,
            rules::Verb::Test(_) => panic!("{line} asks nothing"),
        },
        Verb::Run(_) | Verb::Migrate(_) | Verb::Check(_) | Verb::Demo(_) | Verb::Publish(_) | Verb::Import(_) => {
            panic!("{line} asks nothing")
        }
    }
    .map_err(|error| told(&error))
}

async fn adjusted(
    db: &TestDatabase,
    session: &mut Session,
    common: &adjust::Common,
    wanted: adjust::Wanted,
) -> Result<String, ExitError> {
    let rules = RulesFile::parse("rules.toml", RULES.to_owned()).unwrap();
    adjust::answer(&db.database(), session, &rules, common, wanted).await
}

fn told(error: &ExitError) -> String {
    format!("{error} ({:?})", error.code())
}

/// Instants and ids, which are never the same, become `<time>` and `<id>`; spaces that align columns become one.
fn steady(text: &str) -> String {
    let word = |word: &str| match word {
        time if time.len() > 18 && time.ends_with('Z') && time.contains('T') => "<time>".to_owned(),
        id if id.len() == 36 && uuid::Uuid::parse_str(id).is_ok() => "<id>".to_owned(),
        other => other.to_owned(),
    };
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(line).collect()
}

async fn check(db: &TestDatabase, line: &str, expected: &str) {
    assert_eq!(steady(&shown(db, line).await.unwrap()), expected, "{line}");
}

/// What `--json` shows.
async fn json(db: &TestDatabase, line: &str) -> Value {
    serde_json::from_str(&shown(db, &format!("{line} --json")).await.unwrap()).unwrap()
}

async fn filled() -> TestDatabase {
    let db = TestDatabase::new().await;
    let pay = payment("p1", "ada", "pack", 1);
    db.take(&[&pay]).await;
    db.take(&[refund("r1", "p1", "2.50"), signup("ada"), pay.clone(), pay.replace("10.00", "11.00")]).await;
    db.damage("update relay_cursor set position = 1").await;
    db
}

#[tokio::test]
async fn balance_and_grants() {
    let db = filled().await;
    let balance = "credit type balance scheduled deferred as of\ncredits 850 0 7.50 EUR <time>\n";
    let grants = "\ngrants, in the order in which they are used\n\n\
                  credit type grant id remaining status priority category effective at expires at worth\n\
                  credits <id> 100 active 0 promotional <time> <time>\n\
                  credits <id> 750 active 50 paid <time> <time> 7.50 EUR\n";
    check(&db, "balance ada", &format!("{balance}{grants}")).await;
    check(&db, "balance ada --limit 0", balance).await;
    check(&db, "balance eve", "credit type balance scheduled deferred as of\n").await;
    let narrow = shown(&db, "grants ada").await.unwrap();
    assert!(narrow.lines().all(|line| line.chars().count() <= 128), "{narrow}");
    let days = |line: &str| line.split_whitespace().take(7).collect::<Vec<_>>().join(" ");
    let heading = "grant id credit type status amount remaining used revoked expired starts ends\n";
    assert!(steady(&narrow).starts_with(heading), "{narrow}");
    let lines: Vec<String> = steady(&narrow).lines().skip(1).map(days).collect();
    assert!(lines[0].starts_with("<id> credits active 100 100 2"), "{lines:?}");
    assert!(lines[1].starts_with("<id> credits active 1000 750 250 2"), "{lines:?}");
    check(
        &db,
        "grants ada --wide",
        "grant id credit type status amount remaining used revoked expired category priority cost effective at expires at \
         scheduled at granted at first used at last used at revoked at expired at replaces replaced by price id actor \
         shortfall reason\n\
         <id> credits active 100 100 promotional 0 <time> <time> <time> rule:welcome Welcome credits\n\
         <id> credits active 1000 750 250 paid 50 10.00 EUR <time> <time> <time> <time> pack rule:packs payment p1\n",
    )
    .await;
    let balance = json(&db, "balance ada").await;
    assert_eq!((&balance[0]["credit_type"], &balance[0]["balance"]), (&"credits".into(), &"850".into()));
    let grants = json(&db, "grants ada").await;
    assert_eq!(grants[1]["cost"], serde_json::json!({ "total": "10.00", "currency": "EUR" }));
    assert_eq!(grants[1]["cause"]["id"], "evt_p1");
    assert_eq!(json(&db, "grants eve").await, serde_json::json!([]));
    db.drop().await;
}

#[tokio::test]
async fn ledger_list_and_verify() {
    let db = filled().await;
    check(
        &db,
        "ledger list ada",
        "position recorded at type credit type delta end balance grant id remaining status requested shortfall actor \
         cause reason\n\
         1 <time> grant credits 1000 1000 <id> 1000 active rule:packs evt_p1 payment p1\n\
         2 <time> revoke credits -250 750 <id> 750 active 250 0 worker:refund evt_r1 refund r1: 1000 × 2.50 / 10.00 = 250\n\
         3 <time> grant credits 100 850 <id> 100 active rule:welcome evt_ada Welcome credits\n",
    )
    .await;
    let revokes = json(&db, "ledger list ada --type revoke --after 1 --limit 5").await;
    assert_eq!(revokes.as_array().unwrap().len(), 1);
    let said = ["position", "sequence", "delta", "end_balance", "requested", "shortfall"].map(|key| &revokes[0][key]);
    assert_eq!(said, ["2", "2", "-250", "750", "250", "0"]);
    assert_eq!(revokes[0]["grant"]["remaining"], "750");

    check(&db, "ledger verify", "ledger verified to position 3\n").await;
    assert_eq!(json(&db, "ledger verify").await, serde_json::json!({ "sound": true, "position": "3" }));
    db.damage("update ledger set actor = 'rule:pack' where position = 1").await;
    let expected = "first bad position: 1\n\
                    hash: not that of this entry behind the one before it\n\
                    terms: the row of grant <id> has another actor\n";
    check(&db, "ledger verify", expected).await;
    let found = json(&db, "ledger verify").await;
    assert_eq!((&found["sound"], &found["position"]), (&false.into(), &"1".into()));
    db.drop().await;
}

#[tokio::test]
async fn dead_letters_list_and_show() {
    let db = TestDatabase::new().await;
    db.take(&[b"no \x1b[2Jjson\nat all".as_slice(), b"\xff\xfe"]).await;
    let list = shown(&db, "dead-letters list").await.unwrap();
    let lines: Vec<String> = steady(&list).lines().map(|line| line.chars().take(64).collect()).collect();
    assert_eq!(
        lines,
        [
            "number state code queue type source message id seen first seen a",
            "2 open malformed credits.payment-succeeded amqp-7 1 <time> <time",
            "1 open malformed credits.payment-succeeded amqp-7 1 <time> <time",
        ]
    );
    let text = shown(&db, "dead-letters show 1").await.unwrap();
    assert!(text.ends_with("body (18 bytes):\nno \\u{1b}[2Jjson\nat all\n"), "{text}");
    assert_eq!(json(&db, "dead-letters show 1").await["body"], "no \u{1b}[2Jjson\nat all");
    let text = shown(&db, "dead-letters show 2").await.unwrap();
    assert!(text.ends_with("body (2 bytes, hexadecimal):\nfffe\n"), "{text}");
    let other = json(&db, "dead-letters show 2").await;
    assert_eq!((&other["body_hex"], &other["properties"]["message_id"]), (&"fffe".into(), &"amqp-7".into()));
    assert_eq!(json(&db, "dead-letters list --code fact-conflict").await, serde_json::json!([]));
    let missing = shown(&db, "dead-letters show 9").await.unwrap_err();
    assert_eq!(missing, "error: there is no dead letter with the number 9 (ExitCode(unix_exit_status(1)))");
    assert!(shown(&db, "dead-letters list --code fact-conflct").await.unwrap_err().contains("fact-conflict"));
    db.drop().await;
}

#[tokio::test]
async fn explain_tells_the_whole_story() {
    let db = filled().await;
    let text = steady(&shown(&db, "explain evt_p1").await.unwrap());
    let print = json(&db, "explain evt_p1").await["kept"][0]["fingerprint"].as_str().unwrap()[..12].to_owned();
    let text = text.replace(&print, "<print>");
    let hash = db.rules_hash();
    let rules = &hash[..12];
    let expected = format!(
        "message evt_p1\nsource /billing\ntype payment-succeeded\ntime <time>\nqueue credits.payment-succeeded\n\
         received at <time>\nbody the whole event\nkey taken by the content <print>\n\noutcomes\n\n\
         decided at outcome code entries rules reason\n\
         <time> applied 1 {rules} pack × 1: 1000 credits by rule packs for payment p1\n\
         <time> duplicate {rules} this message was taken before\n\n\
         ledger entries that came of it\n\n\
         position recorded at type credit type delta end balance grant id remaining status requested shortfall actor \
         cause reason published\n\
         1 <time> grant credits 1000 1000 <id> 1000 active rule:packs evt_p1 payment p1 yes\n\n\
         another content under this id was refused: nothing of that is kept but the dead letter\n"
    );
    assert_eq!(text.get(..expected.len()), Some(expected.as_str()), "{text}");
    for part in [
        "purchase: payment p1, refund r1",
        "pack 1 for 10.00 EUR packs",
        "1 × 1000 = 1000 credits",
        "target 1000 × 2.50 / 10.00 = 250",
        "2 <time> revoke credits -250 750 <id> 750 active 250 0 worker:refund evt_r1 refund r1: 1000 × 2.50 / 10.00 = 250 no",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }

    let told = json(&db, "explain evt_p1").await;
    assert_eq!(told["kept"][0]["outcomes"][0]["rules_sha256"], hash);
    assert_eq!(told["kept"][0]["entries"][0]["published"], true);
    assert_eq!(told["refused"][0]["code"], "idempotency-conflict");
    let unknown = shown(&db, "explain evt_p1 --source /other").await.unwrap_err();
    assert_eq!(unknown, "error: no message evt_p1 from /other has arrived (ExitCode(unix_exit_status(1)))");
    db.drop().await;
}

#[tokio::test]
async fn rules_diff_shows_totals_rules_customers_and_grants() {
    let db = filled().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    let diff = format!("rules diff --rules {}", file.display());
    std::fs::write(&file, RULES).unwrap();
    let totals = |would_be: u32| {
        format!(
            "totals by credit type\n\ncredit type grants would be grants granted would be difference\n\
             credits 2 2 850 {would_be} {}\n\n",
            would_be - 850
        )
    };
    check(&db, &diff, &format!("{}no grant would be another one\n", totals(850))).await;
    std::fs::write(&file, RULES.replace("credits_per_unit = 1000", "credits_per_unit = 1200")).unwrap();
    let expected = format!(
        "{}grants that would be others, by rule\n\n\
         rule more fewer other granted would be difference\npacks 0 0 1 750 900 150\n\n\
         the same by customer\n\n\
         customer id credit type granted would be difference\nada credits 750 900 150\n\n\
         the same one by one\n\n\
         rule customer id price id credit type change granted would be terms\n\
         packs ada pack credits other 750 900 amount: 1000 -> 1200, asked: 250 -> 300\n",
        totals(1000)
    );
    check(&db, &diff, &expected).await;
    let before = json(&db, &format!("{diff} --to 2020-01-01")).await;
    assert_eq!((&before["purchases"], &before["differing"]), (&"0".into(), &"0".into()));
    assert!(shown(&db, &format!("{diff} --from yesterday")).await.unwrap_err().contains("RFC 3339"));
    db.drop().await;
}

#[tokio::test]
async fn rules_diff_compares_with_what_rules_gave_and_not_with_what_people_made_of_it() {
    let db = filled().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    std::fs::write(&file, RULES).unwrap();
    let grants = json(&db, "grants ada").await;
    let is_pack = |grant: &&Value| grant["category"] == "paid";
    let id = grants.as_array().unwrap().iter().find(is_pack).unwrap()["grant_id"].as_str().unwrap().to_owned();
    for (number, (id, more)) in [(id, ""), (made("a0"), r#","priority":7"#)].into_iter().enumerate() {
        let fields = format!(r#""action":"regrant","grant_id":"{id}","expires_after":"never"{more}"#);
        let outcomes = db.take(&[adjustment(&format!("a{number}"), "ada", &fields)]).await;
        assert_eq!(outcomes[0].0, Outcome::Applied);
    }
    let shown = shown(&db, &format!("rules diff --rules {}", file.display())).await.unwrap();
    assert!(shown.ends_with("no grant would be another one\n"), "{shown}");
    db.drop().await;
}

/// The grant of an adjustment.
fn made(adjustment: &str) -> String {
    crate::domain::ids::GrantId::derive(&["adjustment", adjustment]).to_string()
}

#[tokio::test]
async fn a_schema_that_is_missing_is_a_mistake_of_78() {
    let db = TestDatabase::new().await;
    db.damage("drop table _sqlx_migrations").await;
    let error = ask::open(&db.database()).await.err().map(|error| told(&error)).unwrap();
    assert!(error.contains("run `credits migrate`") && error.ends_with("(ExitCode(unix_exit_status(78)))"), "{error}");
    db.drop().await;
}

#[tokio::test]
async fn what_became_of_each_published_file_is_shown() {
    let url = std::env::var("AMQP_URL").expect("AMQP_URL names a RabbitMQ server for tests: see `make up`");
    let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    // Gone with this connection; the nameless exchange leads to it.
    let exclusive = lapin::options::QueueDeclareOptions { exclusive: true, ..Default::default() };
    let queue = channel.queue_declare("".into(), exclusive, lapin::types::FieldTable::default()).await.unwrap();
    let queue = queue.name().to_string();

    let variables = [("AMQP_URL".to_owned(), url)].into();
    let options = crate::app::broker(&Settings::load(None, &variables).ok().unwrap()).unwrap();
    let shown = async |exchange: &str, key: &str| {
        let line = ["credits", "publish", "a.json", "b.json", "--exchange", exchange, "--routing-key", key];
        let Verb::Publish(args) = Cli::try_parse_from(line).unwrap().verb else { panic!("{line:?}") };
        let messages = vec![publish::message(b"{}".into(), "a.json", Some(key)); 2];
        let (text, all) = publish::publish(&options, exchange, messages, &args).await.unwrap();
        (steady(&text).replace(key, "<key>"), all)
    };
    let heading = "file routing key message id result\n";
    let (text, all) = shown("", &queue).await;
    assert_eq!(text, format!("{heading}a.json <key> a.json confirmed\nb.json <key> a.json confirmed\n"));
    assert!(all);
    let (text, all) = shown("", "nobody-there").await;
    let unroutable = "unroutable: no queue is bound for it (NO_ROUTE)\n";
    assert_eq!(text, format!("{heading}a.json <key> a.json {unroutable}b.json <key> a.json {unroutable}"));
    assert!(!all);
    let (text, all) = shown("no-such-exchange", "x").await;
    assert!(text.contains("a.json unknown: NOT_FOUND") && !all, "{text}");
}

#[test]
fn a_file_goes_out_under_its_events_type_and_id() {
    let check = |body: &str, routing_key: Option<&str>, expected: [&str; 3]| {
        let message = publish::message(body.into(), "a.json", routing_key);
        assert_eq!([message.routing_key.as_str(), message.message_id.as_str(), message.kind], expected, "{body}");
        assert_eq!((message.content_type, message.body.as_slice()), ("application/cloudevents+json", body.as_bytes()));
    };
    check(r#"{"id":"evt_1","type":"refund"}"#, None, ["refund", "evt_1", "refund"]);
    check(r#"{"id":"evt_1","type":"refund"}"#, Some("signup"), ["signup", "evt_1", "refund"]);
    check(r#"{"id":"evt_1","type":"order-shipped"}"#, None, ["payment-succeeded", "evt_1", "payment-succeeded"]);
    check(r#"{"id":7,"type":7}"#, None, ["payment-succeeded", "a.json", "payment-succeeded"]);
    check("no json", None, ["payment-succeeded", "a.json", "payment-succeeded"]);
    check("", None, ["payment-succeeded", "a.json", "payment-succeeded"]);
    let long = format!(r#"{{"id":"{}","type":"signup"}}"#, "x".repeat(256));
    check(&long, None, ["signup", "a.json", "signup"]);
}

#[test]
fn the_arguments_of_every_verb_make_sense_to_clap() {
    Cli::command().debug_assert();
    let verb = |name: &'static str| Command::new(name);
    for command in [
        waiting::Args::augment_args(verb("waiting")),
        balance::Args::augment_args(verb("balance")),
        dead_letters::Args::augment_args(verb("dead-letters")),
        demo::Args::augment_args(verb("demo")),
        explain::Args::augment_args(verb("explain")),
        grant::Args::augment_args(verb("grant")),
        grants::Args::augment_args(verb("grants")),
        import::Args::augment_args(verb("import")),
        ledger::Args::augment_args(verb("ledger")),
        migrate::Args::augment_args(verb("migrate")),
        publish::Args::augment_args(verb("publish")),
        report::Args::augment_args(verb("report")),
        rules::Args::augment_args(verb("rules")),
        regrant::Args::augment_args(verb("regrant")),
        revoke::Args::augment_args(verb("revoke")),
        run::Args::augment_args(verb("run")),
    ] {
        assert!(command.get_about().is_some(), "{} says what it does", command.get_name());
        command.debug_assert();
    }
}

#[test]
fn the_settings_file_may_be_named_before_and_behind_the_verb() {
    for line in [["credits", "--config", "a.toml", "check"], ["credits", "check", "--config", "a.toml"]] {
        let cli = Cli::try_parse_from(line).unwrap();
        assert_eq!(cli.global.config.as_deref(), Some(Path::new("a.toml")));
    }
}
