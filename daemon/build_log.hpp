// What a build says while it runs: how far it is, and in the end why it failed. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// Takes the text of capsul-build, mmdebstrap and apt as it comes, in pieces.
class BuildLog {
  public:
    void add(std::string_view piece);

    /// What it does now: a short clause.
    [[nodiscard]] std::string stage() const;
    /// From 0 to 100, by the packages that are there.
    [[nodiscard]] int percent() const;
    /// Why it failed, as one line fit for a message: the first error that it told of, else its last line;
    /// empty when it has said nothing.
    [[nodiscard]] std::string last_words() const;
    /// Whether a disk was full.
    [[nodiscard]] bool ran_out_of_space() const noexcept { return full_; }

  private:
    void take_line(std::string_view line);

    std::string rest_;         ///< of a line that is not whole yet
    std::size_t stage_ = 0;    ///< which of the stages
    std::size_t packages_ = 0; ///< that apt has said it will install
    std::size_t steps_ = 0;    ///< of this stage, each of one package
    std::string error_;        ///< the first
    std::string line_;         ///< the last that is not empty
    bool full_ = false;
};

} // namespace capsul
