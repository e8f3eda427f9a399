#include "sim/config/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <fstream>

namespace sparseserve::config {
namespace {

std::string Hex(const XXH128_hash_t& hash) {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, hash);
  std::string text;
  for (const unsigned char byte : bytes.digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

std::string DigestOfFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  std::array<char, 1 << 16> buffer;
  while (file) {
    file.read(buffer.data(), buffer.size());
    XXH3_128bits_update(&state, buffer.data(), static_cast<std::size_t>(file.gcount()));
  }
  if (!file.eof()) throw InputError({{path, 0, 0}, "", "cannot be read", "", ""});
  return Hex(XXH3_128bits_digest(&state));
}

// A path becomes what stands there; a key that is not in force stays away.
void ReplacePath(Node& resolved, std::string_view key, const std::string& digest) {
  const std::size_t dot = key.find('.');
  if (dot == std::string_view::npos) {
    resolved.Set(key, Node::Scalar(digest));
  } else if (Node* map = resolved.Find(key.substr(0, dot))) {
    map->Set(key.substr(dot + 1), Node::Scalar(digest));
  }
}

}  // namespace

const std::string& FileDigests::Of(const std::string& path) {
  const auto it = digests_.find(path);
  if (it != digests_.end()) return it->second;
  return digests_.emplace(path, DigestOfFile(path)).first->second;
}

std::string PointKey(const Experiment& experiment, std::size_t system_index,
                     const std::string& build, FileDigests& files) {
  const std::string system_key = "systems[" + std::to_string(system_index) + "]";
  Node resolved = experiment.resolved;
  resolved.Set("name", Node());  // decides nothing
  for (const InputFile& input : experiment.inputs) {
    if (input.key == system_key) {
      resolved.Set("systems", Node::Scalar(files.Of(input.path)));
    } else if (!input.key.starts_with("systems[")) {
      ReplacePath(resolved, input.key, files.Of(input.path));
    }
  }
  const std::string text = "point 1\n" + build + "\n" + ToYaml(resolved);
  return Hex(XXH3_128bits(text.data(), text.size()));
}

}  // namespace sparseserve::config
