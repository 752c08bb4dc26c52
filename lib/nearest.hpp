// What somebody may have meant who mistyped a word.
#pragma once

#include <string>
#include <vector>

namespace capsul {

/// The one of `candidates` that was probably meant by `word`; empty when none is near.
[[nodiscard]] std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

} // namespace capsul
