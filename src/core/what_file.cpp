#include "core/what_file.h"

#include <array>
#include <filesystem>

namespace gsnake::core {
namespace {

struct Kind {
  std::string_view begin;
  std::string_view meaning;
};
constexpr std::string_view kWebPage = "it is a web page; download the file itself";
constexpr std::array kKinds{
    Kind{"version https://git-lfs", "it is a Git LFS pointer, not the file that is meant; get that with git lfs pull"},
    Kind{"<!DOCTYPE", kWebPage},
    Kind{"<!doctype", kWebPage},
    Kind{"<html", kWebPage},
    Kind{"GGUF", "it is a GGUF file; take the model's safetensors"},
    Kind{"PK\x03\x04", "it is an archive, as torch.save() writes; save the model again with save_pretrained(), which writes safetensors"},
};

}  // namespace

std::string_view other_kind(std::string_view begin) noexcept {
  for (const Kind& kind : kKinds) {
    if (begin.starts_with(kind.begin)) return kind.meaning;
  }
  return {};
}

std::string lost_target(const std::string& path) {
  std::error_code ignored;
  const bool lost = std::filesystem::is_symlink(path, ignored) && !std::filesystem::exists(path, ignored);
  return lost ? std::filesystem::read_symlink(path, ignored).string() : std::string();
}

}  // namespace gsnake::core
