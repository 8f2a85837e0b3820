//! Writes gauges in the text format of Prometheus that exist only while Redis is reachable.

use std::fmt::{self, Display, Formatter, Write};

/// Builds the text of some gauges.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: &'static str,
}

impl Exposition {
    /// Starts a gauge, to which the next samples belong.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> &mut Self {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
        self.name = name;
        self
    }

    /// Adds a sample to the latest gauge. Label values are fixed words or ids, so they need no
    /// escaping.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) -> &mut Self {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
        self
    }

    /// Returns the text of all gauges.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// A number of milliseconds that is written in seconds.
pub struct Millis(pub u64);

impl Display for Millis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_have_the_text_format_of_prometheus() {
        let mut text = Exposition::default();
        text.gauge("a_seconds", "How long.").sample(&[], Millis(1_050));
        text.gauge("b", "How many.")
            .sample(&[("state", "ready"), ("kind", "x")], 3_u64)
            .sample(&[], u8::from(true));
        let wanted = "# HELP a_seconds How long.\n# TYPE a_seconds gauge\na_seconds 1.050\n\
                      # HELP b How many.\n# TYPE b gauge\nb{state=\"ready\",kind=\"x\"} 3\nb 1\n";
        assert_eq!(text.into_text(), wanted);
    }
}
