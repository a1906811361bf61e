// Parses a config and builds a model with the installed library.
#include <greedysnake/config.h>
#include <greedysnake/models.h>

#include <cstdio>

int main() {
  const auto config = gsnake::Config::parse(R"(
    [model]
    family = "llama"
    layers = 2
    hidden = 64
    heads = 4
    kv_heads = 2
    vocab = 256
    context = 64
    tie_embeddings = false
  )");
  const auto model = gsnake::models::make(config.model);
  std::printf("%zu units\n", model.units.size());
  return model.units.size() == 4 ? 0 : 1;
}
