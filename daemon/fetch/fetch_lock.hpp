// A folder that one process at a time downloads into.
#pragma once

#include "lib/fd.hpp"

#include <filesystem>

namespace capsul::fetch {

class FetchLock {
  public:
    /// Until this goes. Throws Error (busy) when another process has it.
    explicit FetchLock(const std::filesystem::path& folder);

  private:
    UniqueFd folder_;
};

} // namespace capsul::fetch
