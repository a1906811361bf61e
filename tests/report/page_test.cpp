#include "report/page.h"

#include <gtest/gtest.h>

#include <functional>
#include <regex>
#include <set>

#include "report/page_data.h"
#include "report/page_files.h"
#include "page_data.h"
#include "sample.h"

namespace gsnake::report {
namespace {

using namespace test;

ReportInput plan_input() {
  ReportInput input;
  input.source = Source::plan;
  input.name = "plan.json";
  input.config = config();
  input.prediction = prediction();
  input.document = plan();
  input.document["side_by_side"] = simulation()["side_by_side"];
  input.predicted = predicted_tasks(timeline(), "plan.json");
  return input;
}

StepPoint step_point(std::int64_t step) {
  StepPoint point;
  point.step = step;
  point.loss = 2.0;
  point.grad_norm = 0.5;
  point.learning_rate = 1e-4;
  point.step_ms = 110.0;
  point.tokens_per_second = 100.0;
  point.ssd_write_bytes = 500;
  point.busy_ms = {{"compute", 55.0}};
  return point;
}

ReportInput run_input(int steps) {
  ReportInput input;
  input.name = "run";
  input.config = config();
  input.metrics.start = start_line();
  for (int step = 1; step <= steps; ++step) input.metrics.steps.push_back(step_point(step));
  return input;
}

std::set<std::string> sections_on(const std::string& page) {
  static const std::regex section("<section id=\"([a-z_]+)\"");
  std::set<std::string> found;
  for (std::sregex_iterator at(page.begin(), page.end(), section), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

std::set<std::string> sections_linked(const std::string& page) {
  static const std::regex link("<a href=\"#([a-z_]+)\"");
  std::set<std::string> found;
  for (std::sregex_iterator at(page.begin(), page.end(), link), end; at != end; ++at) found.insert((*at)[1]);
  return found;
}

Json data_on(const std::string& page) { return parse(gsnake::test::data_text_on(page)); }

using Sections = std::set<std::string>;

TEST(Page, ShowsOfAPlanWhatAPlanHas) {
  EXPECT_EQ(sections_on(page_of(plan_input())), (Sections{"timeline", "lanes", "steps", "critical", "buys", "roofline", "side_by_side",
                                                          "memory", "memory_over_time", "wear", "choices", "config"}));
}

TEST(Page, ShowsOfARunWhatARunHas) {
  EXPECT_EQ(sections_on(page_of(run_input(3))),
            (Sections{"lanes", "steps", "throughput", "loss", "grad_norm", "learning_rate", "memory", "wear", "config"}));
}

TEST(Page, OfARunThatHasNotStartedIsThePlanOfItsMemory) { EXPECT_EQ(sections_on(page_of(run_input(0))), (Sections{"memory", "config"})); }

// Each section goes with its data, and nothing else goes with it.
TEST(Page, LeavesOutTheSectionWhoseDataIsMissing) {
  struct Case {
    std::string section;
    std::function<void(ReportInput&)> take;
  };
  const auto forget = [](double StepPoint::*value) {
    return [value](ReportInput& input) {
      for (StepPoint& point : input.metrics.steps) point.*value = kMissing;
    };
  };
  const auto both = [&] {
    ReportInput input = plan_input();
    input.metrics = run_input(3).metrics;
    input.notes = {"A note."};
    return input;
  };
  const std::vector<Case> cases = {{"timeline", [](ReportInput& input) { input.predicted.clear(); }},
                                   {"lanes",
                                    [](ReportInput& input) {
                                      input.prediction.erase("lanes");
                                      for (StepPoint& point : input.metrics.steps) point.busy_ms.clear();
                                    }},
                                   {"critical", [](ReportInput& input) { input.prediction["critical_path"] = Json::array(); }},
                                   {"buys", [](ReportInput& input) { input.document["buys"] = nullptr; }},
                                   {"roofline", [](ReportInput& input) { input.document.erase("batches"); }},
                                   {"side_by_side", [](ReportInput& input) { input.document["side_by_side"] = Json::array(); }},
                                   {"throughput", forget(&StepPoint::tokens_per_second)},
                                   {"loss", forget(&StepPoint::loss)},
                                   {"grad_norm", forget(&StepPoint::grad_norm)},
                                   {"learning_rate", forget(&StepPoint::learning_rate)},
                                   {"memory",
                                    [](ReportInput& input) {
                                      input.prediction.erase("memory");
                                      input.metrics.start["memory"] = Json::object();
                                    }},
                                   {"memory_over_time", [](ReportInput& input) { input.prediction["memory_over_time"] = Json::object(); }},
                                   {"wear",
                                    [](ReportInput& input) {
                                      input.prediction["wear"] = nullptr;
                                      for (StepPoint& point : input.metrics.steps) point.ssd_write_bytes = 0;
                                    }},
                                   {"choices", [](ReportInput& input) { input.document.erase("choices"); }},
                                   {"notes", [](ReportInput& input) { input.notes.clear(); }},
                                   {"config", [](ReportInput& input) { input.config = nullptr; }},
                                   {"steps", [&](ReportInput& input) {
                                      input.prediction.erase("first_steps_ms");
                                      for (StepPoint& point : input.metrics.steps) point.step_ms = kMissing;
                                    }}};
  const Sections all = sections_on(page_of(both()));
  EXPECT_EQ(all.size(), cases.size());
  for (const Case& each : cases) {
    ReportInput input = both();
    each.take(input);
    Sections without = all;
    EXPECT_EQ(without.erase(each.section), 1U) << each.section;
    EXPECT_EQ(sections_on(page_of(input)), without) << each.section;
  }
}

TEST(Page, LinksItsSectionsAndNoOther) {
  ReportInput with_notes = run_input(3);
  with_notes.notes = {"A note."};
  for (const ReportInput& input : {plan_input(), run_input(3), with_notes}) {
    const std::string page = page_of(input);
    EXPECT_EQ(sections_linked(page), sections_on(page));
  }
}

TEST(Page, IsWholeInItself) {
  for (const ReportInput& input : {plan_input(), run_input(3)}) {
    const std::string page = page_of(input);
    for (const char* outside :
         {"http://", "https://", "src=", "@import", "<link rel=\"stylesheet\"", "fetch(", "import(", "XMLHttpRequest"})
      EXPECT_EQ(page.find(outside), std::string::npos) << outside;
    for (std::size_t at = page.find("url("); at != std::string::npos; at = page.find("url(", at + 1)) EXPECT_EQ(page[at + 4], '#');
    EXPECT_NE(page.find("default-src 'none'"), std::string::npos);  // the browser holds us to it
    EXPECT_EQ(page.find("{{"), std::string::npos);
    EXPECT_EQ(page.find("<!-- section"), std::string::npos);
    EXPECT_NE(page.find(page_style()), std::string::npos);
    EXPECT_NE(page.find(page_script()), std::string::npos);
  }
}

TEST(Page, EveryScriptElementEndsWhereItShould) {
  const auto count = [](std::string_view text, std::string_view part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++found;
    return found;
  };
  ReportInput input = plan_input();
  const std::string hostile = "</script><script>alert(1)</script><!-- section x --> {{data}} <b>&\"'";
  input.name = hostile;
  input.notes = {hostile};
  input.config["model"]["family"] = hostile;
  input.config[hostile] = 1;
  input.prediction["machine"] = hostile;
  input.predicted[0].name = hostile;
  input.predicted[0].lane = hostile;
  const std::string page = page_of(input);
  EXPECT_EQ(count(page, "</script"), 2U);
  EXPECT_EQ(count(page, "<script"), 2U);
  EXPECT_EQ(page.find("<b>"), std::string::npos);
  EXPECT_NE(
      page.find("<h1>&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;!-- section x --&gt; {{data}} &lt;b&gt;&amp;&quot;&#39;</h1>"),
      std::string::npos);
  const Json data = data_on(page);
  EXPECT_EQ(data["config"]["model"]["family"], hostile);
  EXPECT_EQ(data["name"], hostile);
  EXPECT_EQ(data["timeline"]["names"][0], hostile);
}

TEST(Page, TextThatIsNotUtf8StillMakesAPage) {
  ReportInput input = plan_input();
  input.name = "run\xff";
  EXPECT_EQ(data_on(page_of(input))["name"], "run\xEF\xBF\xBD");
}

TEST(Page, PutsPredictedAndMeasuredOnOneAxis) {
  ReportInput input = run_input(3);
  input.predicted = predicted_tasks(timeline(), "plan.json");
  input.measured = traced_tasks(trace().dump()).value();
  const Json data = page_data(input, {});
  ASSERT_EQ(data["timeline"]["tracks"].size(), 2U);
  EXPECT_EQ(data["timeline"]["tracks"][0]["what"], "predicted");
  EXPECT_EQ(data["timeline"]["tracks"][1]["what"], "measured");
  const auto begin_of_step_6 = [&](int track) {
    const Json& tasks = data["timeline"]["tracks"][track]["tasks"];
    for (std::size_t i = 0; i < tasks["step"].size(); ++i) {
      if (tasks["step"][i] == 6 && data["timeline"]["lanes"][tasks["lane"][i].get<std::size_t>()] == "compute")
        return tasks["begin"][i].get<double>();
    }
    return -1.0;
  };
  EXPECT_DOUBLE_EQ(begin_of_step_6(0), begin_of_step_6(1));
  EXPECT_DOUBLE_EQ(begin_of_step_6(0), 110.0);  // the first predicted task begins at 0
}

TEST(Page, ManyStepsMakeFewPointsWithTheSameMean) {
  ReportInput input = run_input(10000);
  for (StepPoint& point : input.metrics.steps) point.loss = static_cast<double>(point.step);
  input.metrics.steps[4998].loss = kMissing;
  const Json steps = page_data(input, {})["steps"];
  EXPECT_EQ(steps["count"], 10000);
  EXPECT_EQ(steps["every"], 3);
  ASSERT_EQ(steps["loss"].size(), 3334U);
  EXPECT_EQ(steps["step"].size(), 3334U);
  EXPECT_EQ(steps["loss"][0], 2.0);
  EXPECT_EQ(steps["step"][0], 2);
  EXPECT_EQ(steps["loss"][1666], 5000.5);  // (4999), 5000, 5001: the missing one is left out
  EXPECT_EQ(steps["step"][3333], 10000);
}

TEST(Page, StaysSmallHoweverManyTasks) {
  ReportInput input = run_input(3);
  for (int i = 0; i < 400000; ++i)
    input.measured.push_back({"compute", i % 4, "a task with a name of its own, number " + std::to_string(i), 1 + i / 200000, i * 0.25,
                              i * 0.25 + 0.9, 1U << 20});
  const std::string page = page_of(input);
  EXPECT_LT(page.size(), 20U << 20);
  const Json timeline = data_on(page)["timeline"];
  EXPECT_LE(timeline["tracks"][0]["tasks"]["begin"].size(), PageLimits{}.tasks);
  ASSERT_EQ(timeline["notes"].size(), 1U);
  EXPECT_NE(timeline["notes"][0].get<std::string>().find("400000 tasks"), std::string::npos);
}

TEST(Page, SaysNothingOfThinningWhereNothingIsLeftOut) {
  const Json timeline = page_data(plan_input(), {})["timeline"];
  EXPECT_TRUE(timeline["notes"].empty());
  EXPECT_EQ(timeline["tracks"][0]["tasks"]["begin"].size(), 4U);
}

}  // namespace
}  // namespace gsnake::report
