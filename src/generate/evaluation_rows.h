// Rows of an evaluation, as token ids.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "greedysnake/evaluate.h"

namespace gsnake::generate {

struct ChoiceRow {
  std::vector<ScoredTokens> choices;  // each behind the question
  std::vector<double> lengths;        // of choices, in characters
  std::size_t answer = 0;
};

struct EvaluationRows {
  std::vector<ScoredTokens> texts;
  std::vector<ChoiceRow> choices;
};

using Encode = std::function<std::vector<std::int64_t>(const std::string&)>;

// As Evaluator::evaluate() takes them.
EvaluationRows read_evaluation(const std::string& path, const Encode& encode, std::int64_t vocab);

}  // namespace gsnake::generate
