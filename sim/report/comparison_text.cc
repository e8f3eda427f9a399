#include "sim/report/comparison_text.h"

#include <cmath>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "sim/core/atomic_file.h"

namespace sparseserve::report {
namespace {

constexpr double kShownPoints = 0.05;  // below this a gap reads 0.0

// Four significant digits, whole numbers in full.
std::string ValueText(const MetricInfo& info, const std::optional<double>& value) {
  if (!value) return "-";
  if (*value == 0) return "0";
  if (info.is_count || *value >= 999.95) return fmt::format("{:.0f}", *value);
  return fmt::format("{:#.4g}", *value);
}

// One decimal, or one digit; what is exactly equal is not asked for here.
std::string SignedText(double value) {
  if (std::abs(value) < 5e-4) return "~0";  // the order of a sum can do that
  return std::abs(value) < kShownPoints ? fmt::format("{:+.1g}", value)
                                        : fmt::format("{:+.1f}", value);
}

std::string ErrorText(const MetricInfo& info, const MetricComparison& m) {
  if (!m.a || !m.b) return "-";
  if (m.is_equal) return "equal";
  if (!m.error) return "from 0";
  return SignedText(*m.error) + (info.unit == "%" ? " points" : " %");
}

std::string SideText(const RunFigures& side) {
  std::string text = side.source + ": " + side.kind;
  const char* separator = " (";
  const auto add = [&](const std::string& part) {
    text += separator + part;
    separator = ", ";
  };
  for (const std::string* label : {&side.system, &side.model, &side.hardware})
    if (!label->empty()) add(*label);
  if (!side.seed.empty()) add("seed " + side.seed);
  if (side.num_requests) add(fmt::format("{} requests", *side.num_requests));
  return separator[0] == ',' ? text + ")" : text;
}

std::string TerminalRow(std::string_view title, std::string_view unit, std::string_view a,
                        std::string_view b, std::string_view error) {
  const std::string row = fmt::format("{:<32}{:<9}{:>16}{:>16}  {:>14}", title, unit, a, b, error);
  return row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
}

std::string MetricRow(const MetricInfo& info, const MetricComparison& m, Style style) {
  const std::string a = ValueText(info, m.a);
  const std::string b = ValueText(info, m.b);
  const std::string error = ErrorText(info, m) + (m.is_exceeded ? " !" : "");
  if (style == Style::kMarkdown) {
    return fmt::format("| {} | {} | {} | {} | {} | {} |\n", info.title, info.unit, a, b, error,
                       info.definition);
  }
  // The mark stands behind the column.
  std::string row =
      TerminalRow("  " + std::string(info.title), info.unit, a, b, ErrorText(info, m));
  if (m.is_exceeded) row.insert(row.size() - 1, " !");
  return row;
}

std::string MetricTable(const Comparison& comparison, Style style) {
  std::string text;
  std::optional<MetricGroup> group;
  for (const MetricComparison& m : comparison.metrics) {
    if (!m.a && !m.b) continue;
    const MetricInfo& info = InfoOf(m.metric);
    if (group != info.group) {
      if (style == Style::kMarkdown) {
        text += fmt::format(
            "\n**{}**\n\n| metric | unit | A | B | error | definition |\n"
            "|---|---|--:|--:|--:|---|\n",
            NameOf(info.group));
      } else {
        text += "\n" + TerminalRow(NameOf(info.group), "", "A", "B", "error");
      }
      group = info.group;
    }
    text += MetricRow(info, m, style);
  }
  return text;
}

std::string GapRow(std::string_view component, const std::string& unit, const std::string& a,
                   const std::string& b, double points, Style style) {
  const std::string shown =
      std::abs(points) < kShownPoints ? "0.0 points" : fmt::format("{:+.1f} points", points);
  if (style == Style::kMarkdown)
    return fmt::format("| {} | {} | {} | {} | {} |\n", component, unit, a, b, shown);
  return TerminalRow("  " + std::string(component), unit, a, b, shown);
}

std::string GapTable(const GapExplanation& gap, Style style) {
  std::string text;
  if (style == Style::kMarkdown) {
    text =
        "\n**what explains the gap, in % of A's duration**\n\n| component | unit | A | B | B - A "
        "|\n|---|---|--:|--:|--:|\n";
  } else {
    text = "\n" + TerminalRow("gap, in % of A's duration", "", "A", "B", "B - A");
  }
  for (const Contribution& c : gap.contributions) {
    const bool is_number = c.component == kNumberOfIterations;
    if (c.component == NameOf(BusyPart::kOther) && std::abs(c.points) < kShownPoints) continue;
    const auto value = [&](double v) {
      return is_number || v >= 999.95 ? fmt::format("{:.0f}", v) : fmt::format("{:.3f}", v);
    };
    text +=
        GapRow(c.component, is_number ? "" : "ms/iter", value(c.a), value(c.b), c.points, style);
  }
  text += GapRow("= busy", "", "", "", gap.busy_points, style);
  text += GapRow("idle", "", "", "", gap.idle_points, style);
  text += GapRow("= duration", "", "", "", gap.duration_points, style);
  return text + "\n" + GapSentence(gap) + "\n";
}

// "4.1 points are attention, 2.4 load stall", of the contributions that have this sign.
std::string ListContributions(const GapExplanation& gap, bool longer) {
  std::string text;
  for (const Contribution& c : gap.contributions) {
    if (std::abs(c.points) < kShownPoints || (c.points > 0) != longer) continue;
    text += fmt::format("{}{:.1f} {}{}{}", text.empty() ? "" : ", ", std::abs(c.points),
                        text.empty() ? "points are " : "",
                        c.component == kNumberOfIterations ? "the " : "", c.component);
  }
  return text;
}

}  // namespace

std::string GapSentence(const GapExplanation& gap) {
  const bool longer = gap.busy_points > 0;
  const bool is_even = std::abs(gap.busy_points) < kShownPoints;
  std::string text = is_even
                         ? "B's iterations take as long in all as A's"
                         : fmt::format("B's iterations take {:.1f} % of A's duration {} than A's",
                                       std::abs(gap.busy_points), longer ? "longer" : "less");
  const std::string with = ListContributions(gap, is_even || longer);
  const std::string against = ListContributions(gap, !(is_even || longer));
  if (!with.empty()) text += (is_even ? "; longer: " : "; of that ") + with;
  if (!against.empty()) text += (is_even ? "; shorter: " : "; the other way: ") + against;
  return text + ".";
}

std::string Verdict(const Comparison& comparison) {
  std::string exceeded, judged;
  for (const MetricComparison& m : comparison.metrics) {
    if (!m.is_judged) continue;
    const MetricInfo& info = InfoOf(m.metric);
    const std::string entry = fmt::format("{} {}", info.name, ErrorText(info, m));
    std::string& list = m.is_exceeded ? exceeded : judged;
    list += (list.empty() ? "" : ", ") + entry;
  }
  const std::string tolerance = fmt::format("the tolerance of {:g} %", 100 * comparison.tolerance);
  if (!exceeded.empty()) return "beyond " + tolerance + ": " + exceeded;
  if (!judged.empty()) return "within " + tolerance + ": " + judged;
  return "no key metric is known to both sides";
}

std::string ComparisonText(const Comparison& comparison, Style style) {
  const bool markdown = style == Style::kMarkdown;
  const char* const bullet = markdown ? "- " : "";
  std::string text =
      fmt::format("{0}A: {1}\n{0}B: {2}\n", bullet, SideText(comparison.a), SideText(comparison.b));
  if (markdown) text += "\nError: B against A; ! beyond the tolerance; - not known.\n";
  text += MetricTable(comparison, style);
  if (comparison.gap) text += GapTable(*comparison.gap, style);
  return text + "\n" + Verdict(comparison) + "\n";
}

std::string ComparisonCsv(const Comparison& comparison) {
  std::string text = "metric,group,unit,a,b,error\n";
  const auto cell = [](const std::optional<double>& value) {
    return value ? fmt::format("{}", *value) : std::string();
  };
  for (const MetricComparison& m : comparison.metrics) {
    const MetricInfo& info = InfoOf(m.metric);
    text += fmt::format("{},{},{},{},{},{}\n", info.name, NameOf(info.group), info.unit, cell(m.a),
                        cell(m.b), cell(m.error));
  }
  return text;
}

std::string MetricDefinitions() {
  std::string text;
  std::optional<MetricGroup> group;
  for (const MetricInfo& info : Metrics()) {
    if (group != info.group) text += fmt::format("{}\n", NameOf(info.group));
    group = info.group;
    text += fmt::format("  {:<27}{:<9}{}{}\n", info.name, info.unit, info.definition,
                        info.is_key ? " (key)" : "");
  }
  return text;
}

// All three files take their names together; what else lies in the directory stays.
void WriteComparison(const std::string& directory, const Comparison& comparison) {
  MakeOutputDirectory(directory);
  AtomicFile json(directory + "/compare.json");
  AtomicFile csv(directory + "/compare.csv");
  AtomicFile markdown(directory + "/compare.md");
  json.Append(ComparisonJson(comparison));
  csv.Append(ComparisonCsv(comparison));
  markdown.Append(ComparisonText(comparison, Style::kMarkdown));
  AtomicFile* const files[] = {&csv, &markdown, &json};
  for (AtomicFile* file : files) file->Seal();
  for (AtomicFile* file : files) file->Commit();
}

}  // namespace sparseserve::report
