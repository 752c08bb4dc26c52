// Lines for the journal, of which nobody outside can cause more than a few.
#pragma once

#include <chrono>
#include <mutex>
#include <string_view>

namespace capsul::peer {

class SparseLog {
  public:
    /// Writes a line, without what could pass for another, unless there were ten in this minute. The next one
    /// that is written says how many were not.
    void tell(std::string_view line);

  private:
    std::mutex mutex_;
    std::chrono::steady_clock::time_point minute_;
    int told_ = 0;
    int left_out_ = 0;
};

} // namespace capsul::peer
