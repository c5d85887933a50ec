use secrecy::ExposeSecret;

use super::*;

/// A file of settings that is gone when dropped.
fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Settings::load(Some(file(text).path()), &variables(environment))
}

/// The mistakes of a file, one a line, without the file's own name.
fn mistakes(text: &str) -> String {
    let file = file(text);
    let error = Settings::load(Some(file.path()), &BTreeMap::new()).err();
    error.map(|error| error.to_string().replace(&file.path().display().to_string(), "F")).unwrap_or_default()
}

fn mistakes_of_variable(name: &str, value: &str) -> String {
    let error = Settings::load(None, &variables(&[(name, value)])).err();
    error.map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn the_defaults_are_valid_and_as_the_reference_says() {
    let settings = Settings::load(None, &BTreeMap::new()).unwrap();
    assert!(settings.database.url.is_none());
    assert_eq!(settings.database.role, "credits_worker");
    assert_eq!(settings.broker.prefetch, 2000);
    assert_eq!(settings.worker.lanes, 2);
    assert_eq!(settings.worker.drain_timeout, Duration::from_secs(25));
    assert_eq!(settings.relay.unroutable, Unroutable::Wait);
    assert_eq!(settings.relay.source.as_str(), "/credits");
    assert_eq!(settings.http.listen, "127.0.0.1:9464".parse().unwrap());
    assert_eq!(settings.log.level, tracing::Level::INFO);
}

#[test]
fn each_key_of_the_reference_has_a_comment_before_it() {
    let mut commented = false;
    for line in DEFAULTS.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(commented, "{line}");
        }
        commented = line.starts_with('#');
    }
}

#[test]
fn a_file_wins_over_the_defaults_and_the_environment_over_the_file() {
    let text = "[worker]\nlanes = 4\nbatch_messages = 10\n[log]\nformat = \"json\"";
    let settings = load(text, &[("CREDITS_WORKER_LANES", "8"), ("CREDITS_RELAY_ENABLED", "false")]).unwrap();
    assert_eq!(
        (settings.worker.lanes, settings.worker.batch_messages, settings.worker.batch_bytes),
        (8, 10, 8_388_608)
    );
    assert_eq!((settings.log.format, settings.relay.enabled), (LogFormat::Json, false));
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let settings =
        load("[database]\nrole = \"worker\"", &[("CREDITS_DATABASE_ROLE", ""), ("DATABASE_URL", "")]).unwrap();
    assert_eq!(settings.database.role, "worker");
    assert!(settings.database.url.is_none());
}

#[test]
fn the_customary_url_variables_win_over_the_file_and_our_own_over_them() {
    let url = |environment: &[(&str, &str)]| {
        let settings = load("[database]\nurl = \"postgres://file\"", environment).unwrap();
        settings.database.url().unwrap().expose_secret().to_owned()
    };
    let customary = ("DATABASE_URL", "postgres://customary");
    assert_eq!(url(&[]), "postgres://file");
    assert_eq!(url(&[customary]), "postgres://customary");
    assert_eq!(url(&[customary, ("CREDITS_DATABASE_URL", "postgres://ours")]), "postgres://ours");
}

#[test]
fn a_url_that_nobody_set_is_asked_for_by_its_variable() {
    let settings = Settings::load(None, &BTreeMap::new()).unwrap();
    assert_eq!(
        settings.broker.url().unwrap_err().to_string(),
        "environment variable AMQP_URL: broker.url: is not set: give it as AMQP_URL, or as broker.url in the file of --config"
    );
}

#[test]
fn passwords_are_in_no_debug_text_and_in_no_mistake() {
    let secret = "canary";
    let urls = [("DATABASE_URL", "postgres://a:canary@h/d"), ("AMQP_URL", "amqp://a:canary@h")];
    let settings = Settings::load(None, &variables(&urls)).unwrap();
    assert!(!format!("{settings:?} {settings:#?}").contains(secret));
    let broken = [
        mistakes_of_variable("DATABASE_URL", "mysql://a:canary@h/d"),
        mistakes_of_variable("AMQP_URL", "a:canary@h"),
        mistakes("[database]\nurl = postgres://a:canary@h"),
        mistakes("[database]\nulr = \"postgres://a:canary@h\""),
        mistakes("[database]\nurl = [\"postgres://a:canary@h\"]"),
    ];
    for text in broken {
        assert!(!text.is_empty() && !text.contains(secret), "{text}");
    }
}

#[test]
fn mistakes_in_a_file_name_line_key_value_and_range() {
    for (text, expected) in [
        ("[workr]\nlanes = 1", "F:1: workr: unknown key, did you mean `worker`?"),
        (
            "lanes = 1",
            "F:1: lanes: unknown key, valid: `broker`, `database`, `http`, `log`, `relay`, `rules`, `sweeper`, `worker`",
        ),
        ("[worker]\nlane = 1", "F:2: worker.lane: unknown key, did you mean `lanes`?"),
        ("[worker]\nlanes.a = 1", "F:2: worker.lanes: is a table, a whole number is needed"),
        ("worker = 1", "F:1: worker: is a whole number, a table is needed"),
        ("[worker]\nlanes = 33", "F:2: worker.lanes: 33 is not within 1 to 32"),
        ("[worker]\nlanes = -1", "F:2: worker.lanes: -1 is not within 1 to 32"),
        ("[worker]\nlanes = \"2\"", "F:2: worker.lanes: is a text, a whole number is needed"),
        ("[worker]\nlanes = 1.5", "F:2: worker.lanes: is a TOML float, a whole number is needed"),
        ("[broker]\nprefetch = 2001", "F:2: broker.prefetch: 2001 is not within 1 to 2000"),
        ("[broker]\nprefetch = 70000", "F:2: broker.prefetch: 70000 is not within 1 to 2000"),
        ("[broker]\nheartbeat = \"1500ms\"", "F:2: broker.heartbeat: is not in whole seconds"),
        (
            "[broker]\nqueue_prefix = \"amq.x\"",
            "F:2: broker.queue_prefix: \"amq.x\" is not 1 to 100 letters, digits, dots, dashes and underscores, \
             not starting with `amq.`",
        ),
        (
            "[database]\nrole = \"a; drop\"",
            "F:2: database.role: \"a; drop\" is not a lower-case name of 1 to 63 characters",
        ),
        ("[database]\nlock_timeout = \"5ms\"", "F:2: database.lock_timeout: \"5ms\" is not within 10ms to 1h"),
        (
            "[database]\nlock_timeout = \"5\"",
            "F:2: database.lock_timeout: \"5\" is no length of time such as 500ms, 30s, 5m, 2h, 365d or 1w",
        ),
        ("[database]\nlock_timeout = 5", "F:2: database.lock_timeout: is a whole number, a text in quotes is needed"),
        ("[database]\nurl = \"mysql://h\"", "F:2: database.url: starts otherwise than postgres://… or postgresql://…"),
        ("[relay]\nenabled = \"yes\"", "F:2: relay.enabled: is a text, true or false is needed"),
        ("[relay]\nunroutable = \"cuont\"", "F:2: relay.unroutable: \"cuont\" is no valid word, did you mean `count`?"),
        (
            "[http]\nlisten = \"localhost\"",
            "F:2: http.listen: \"localhost\" is not an address and a port such as 127.0.0.1:9464 or [::1]:9464",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "F:2: log.level: \"loud\" is no valid word, valid: `error`, `warn`, `info`, `debug`, `trace`",
        ),
        ("[rules]\nfile = \"\"", "F:2: rules.file: \"\" is not the name of a file"),
    ] {
        assert_eq!(mistakes(text), expected, "{text}");
    }
}

#[test]
fn mistakes_in_variables_name_the_variable() {
    for (name, value, expected) in [
        (
            "CREDITS_WORKER_LANES",
            "64",
            "environment variable CREDITS_WORKER_LANES: worker.lanes: 64 is not within 1 to 32",
        ),
        (
            "CREDITS_WORKER_LANES",
            "two",
            "environment variable CREDITS_WORKER_LANES: worker.lanes: is \"two\", a whole number is needed",
        ),
        (
            "CREDITS_RELAY_ENABLED",
            "1",
            "environment variable CREDITS_RELAY_ENABLED: relay.enabled: is \"1\", true or false is needed",
        ),
        (
            "CREDITS_WORKER_LANS",
            "1",
            "environment variable CREDITS_WORKER_LANS: names no setting, did you mean `CREDITS_WORKER_LANES`?",
        ),
        (
            "CREDITS_WRKR_LANES",
            "1",
            "environment variable CREDITS_WRKR_LANES: names no setting, did you mean `CREDITS_WORKER_LANES`?",
        ),
        (
            "CREDITS_HTTP_AUTHENTICATION_SECRET",
            "x",
            "environment variable CREDITS_HTTP_AUTHENTICATION_SECRET: names no setting",
        ),
    ] {
        assert_eq!(mistakes_of_variable(name, value), expected);
    }
}

#[test]
fn variables_that_mean_something_else_are_let_alone() {
    for name in
        ["CREDITS_SERVICES", "CREDITS_PORT", "CREDITS_SERVICE_HOST", "CREDITS_WORKER_PORT_9464_TCP_ADDR", "PATH"]
    {
        assert_eq!(mistakes_of_variable(name, "tcp://10.0.0.1:9464"), "", "{name}");
    }
}

#[test]
fn every_mistake_of_file_and_environment_is_reported_at_once() {
    let error = load("[worker]\nlanes = 0\n[relay]\npol = \"1s\"", &[("CREDITS_SWEEPER_BATCH", "0")]).unwrap_err();
    let keys: Vec<&str> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["worker.lanes", "relay.pol", "sweeper.batch"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Settings::load(Some(Path::new("/nowhere/credits.toml")), &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere/credits.toml: cannot be read: "), "{error}");
}
