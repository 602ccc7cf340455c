//! What was measured, as a table.

/// What one server came to in each round.
pub(crate) type Figures = Vec<f64>;

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

fn spread(figures: &[f64]) -> String {
    if figures.is_empty() {
        return "–".to_owned();
    }
    let (least, most) = figures.iter().fold((f64::MAX, f64::MIN), |(least, most), f| (least.min(*f), most.max(*f)));
    let digits = if most < 100.0 { 2 } else { 0 };
    format!("{:.digits$} ({least:.digits$} … {most:.digits$})", median(figures))
}

/// The median of the rounds' own ratios.
fn ratio(parlour: &Figures, other: &Figures) -> String {
    let ratios: Vec<f64> = parlour.iter().zip(other).map(|(parlour, other)| parlour / other).collect();
    if ratios.is_empty() { "–".to_owned() } else { format!("{:.2}", median(&ratios)) }
}

/// Prints a line: each server's median with least and most, and how Parlour, the first, stands to each other one.
pub(crate) fn tell(what: &str, figures: &[Figures]) {
    let spreads: Vec<String> = figures.iter().map(|figures| format!("{:<26}", spread(figures))).collect();
    let ratios: Vec<String> =
        figures.iter().skip(1).map(|other| format!("{:>13}", ratio(&figures[0], other))).collect();
    println!("| {what:<42} | {} | {} |", spreads.join(" | "), ratios.join(" | "));
}

/// Prints the head of the table.
pub(crate) fn head<'n>(names: impl Iterator<Item = &'n str>) {
    let names: Vec<&str> = names.collect();
    let columns: Vec<String> = names.iter().map(|name| format!("{name:<26}")).collect();
    let ratios: Vec<String> = names.iter().skip(1).map(|name| format!("{:>13}", format!("/ {name}"))).collect();
    println!("| {:<42} | {} | {} |", "figure", columns.join(" | "), ratios.join(" | "));
    let rules = (format!("|{:-<28}", "").repeat(names.len()), format!("|{:->14}:", "").repeat(names.len() - 1));
    println!("|{:-<44}{}{}|", "", rules.0, rules.1);
}
