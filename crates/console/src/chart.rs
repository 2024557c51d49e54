//! How many runs ended in each hour, as bars.

use std::fmt::Write;

use crate::{markup::Markup, text, views::HourItem};

const HEIGHT: f64 = 56.0;
const WIDTH: f64 = 600.0;

/// Runs that completed, and on top of them runs that failed, hour by hour.
pub(crate) fn throughput(hours: &[HourItem], title: &str) -> Markup {
    let most = hours.iter().map(|hour| hour.completed + hour.failed).max().unwrap_or_default().max(1);
    let mut svg = format!(
        r#"<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{title}">"#
    );
    #[expect(clippy::cast_precision_loss, reason = "pixels")]
    let (step, unit) = (WIDTH / hours.len().max(1) as f64, (HEIGHT - 2.0) / most as f64);
    let mut x = 0.0;
    for hour in hours {
        #[expect(clippy::cast_precision_loss, reason = "pixels")]
        let (ok, failed) = (hour.completed as f64 * unit, hour.failed as f64 * unit);
        let (completed, lost) = (text::count(hour.completed), text::count(hour.failed));
        let at = hour.at.strftime("%Y-%m-%d %H:%M");
        let title = format!("<title>{at} UTC: {completed} completed, {lost} failed</title>");
        for (class, y, height) in
            [("ok", HEIGHT - 1.0 - ok, ok), ("failed", HEIGHT - 1.0 - ok - failed, failed)]
        {
            // Whatever happened is seen, however many there are elsewhere.
            if height > 0.0 {
                let height = height.max(1.0);
                let y = y.min(HEIGHT - 1.0 - height);
                let _ = write!(
                    svg,
                    r#"<rect class="{class}" x="{x:.2}" y="{y:.2}" width="{:.2}" height="{height:.2}">{title}</rect>"#,
                    step * 0.82
                );
            }
        }
        x += step;
    }
    let _ = write!(svg, r#"<line class="base" x1="0" x2="{WIDTH}" y1="{0}" y2="{0}"/></svg>"#, HEIGHT - 0.5);
    Markup::trusted(svg)
}

/// How much of something is taken.
pub(crate) fn meter(held: u32, of: u32) -> Markup {
    let share = f64::from(held.min(of)) / f64::from(of.max(1)) * 100.0;
    Markup::trusted(format!(
        r#"<svg class="meter" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="free" width="100" height="8"/><rect class="held" width="{share:.1}" height="8"/></svg>"#
    ))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn the_highest_bar_fills_the_chart_and_the_lowest_is_seen() {
        let hour = |completed, failed| HourItem { at: Timestamp::UNIX_EPOCH, started: 0, completed, failed };
        let svg = throughput(&[hour(900, 100), hour(0, 1), hour(0, 0)], "t").to_string();
        assert!(
            svg.contains(r#"class="ok" x="0.00" y="6.40""#) && svg.contains(r#"height="48.60""#),
            "{svg}"
        );
        assert!(svg.contains(r#"class="failed" x="200.00" y="54.00" width="164.00" height="1.00""#), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 3);
    }

    #[test]
    fn a_meter_is_never_more_than_full() {
        assert!(meter(7, 5).to_string().contains(r#"class="held" width="100.0""#));
        assert!(meter(1, 4).to_string().contains(r#"class="held" width="25.0""#));
        assert!(meter(0, 0).to_string().contains(r#"class="held" width="0.0""#));
    }
}
