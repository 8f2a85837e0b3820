//! The text form that Prometheus reads, for numbers that are there only while something else is.

use std::fmt::Write;

/// Metrics as text.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    name: &'static str,
}

impl Exposition {
    /// Begins a gauge. Its samples follow.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> &mut Self {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
        self.name = name;
        self
    }

    /// A sample of the gauge begun last. Labels are words of ours or ids: nothing in them needs to
    /// be escaped.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Value) -> &mut Self {
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{labels} {}", self.name, value.text());
        self
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// What a sample can be.
pub trait Value {
    /// As Prometheus reads it.
    fn text(self) -> String;
}

impl Value for bool {
    fn text(self) -> String {
        u8::from(self).to_string()
    }
}

impl Value for u64 {
    fn text(self) -> String {
        self.to_string()
    }
}

impl Value for usize {
    fn text(self) -> String {
        self.to_string()
    }
}

/// Milliseconds, told in seconds.
pub struct Millis(pub u64);

impl Value for Millis {
    fn text(self) -> String {
        format!("{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_prometheus_reads() {
        let mut text = Exposition::default();
        text.gauge("a_seconds", "How long.").sample(&[], Millis(1_050));
        text.gauge("b", "How many.")
            .sample(&[("state", "ready"), ("kind", "x")], 3_u64)
            .sample(&[], true);
        let wanted = "# HELP a_seconds How long.\n# TYPE a_seconds gauge\na_seconds 1.050\n\
                      # HELP b How many.\n# TYPE b gauge\nb{state=\"ready\",kind=\"x\"} 3\nb 1\n";
        assert_eq!(text.into_text(), wanted);
    }
}
