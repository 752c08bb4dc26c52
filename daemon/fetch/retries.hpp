// How often something is tried, and how long it is waited for in between.
#pragma once

#include "daemon/fetch_folder.hpp"
#include "lib/error.hpp"

#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <utility>

namespace capsul::fetch {

/// What may be otherwise the next time.
class PassingError : public Error {
  public:
    PassingError(ErrorCode code, const std::string& message, std::string hint = {},
                 std::optional<std::chrono::seconds> later = {})
        : Error(code, message, std::move(hint)), later_(later) {}
    /// After what time the server wants to be asked again (Retry-After).
    [[nodiscard]] std::optional<std::chrono::seconds> later() const noexcept { return later_; }

  private:
    std::optional<std::chrono::seconds> later_;
};

/// Counts tries, and says how long to wait before the next: twice as long each time, and never just as long
/// as others wait who were cut off at the same moment.
class Retries {
  public:
    /// However much each try brings.
    static constexpr int most_in_all = 200;

    explicit Retries(const FetchPatience& patience, std::uint32_t seed = std::random_device()())
        : patience_(patience), random_(seed) {}

    /// After a try that ended with `error`; `brought_something` when it was not in vain. Throws Error when
    /// that was the last.
    [[nodiscard]] std::chrono::milliseconds wait_after(const PassingError& error, bool brought_something);
    /// From 1; of those in a row that were in vain.
    [[nodiscard]] int attempt() const noexcept { return in_vain_ + 1; }

  private:
    FetchPatience patience_;
    std::mt19937 random_;
    int in_vain_ = 0;
    int in_all_ = 0;
};

/// Throws Error (invalid).
void check_patience(const FetchPatience& patience);

} // namespace capsul::fetch
