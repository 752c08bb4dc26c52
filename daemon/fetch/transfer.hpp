// Gets what is at a URL, once.
#pragma once

#include "daemon/fetch/answer.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace capsul::fetch {

/// What is asked for: all, or all from a byte on if it is still the same, or all unless it is still the same.
struct Get {
    Url url;
    std::optional<std::uint64_t> from;
    std::string if_range;          ///< goes with `from`
    std::string if_none_match;     ///< an entity tag, or
    std::string if_modified_since; ///< a date, if there was none
};

struct TransferLimits {
    std::optional<std::string> proxy; ///< "" = none; absent: as the environment says
    std::chrono::seconds stall;       ///< that long it may bring next to nothing
    std::chrono::seconds longest;     ///< zero = any
};

/// Told of an answer as it comes. What they throw ends the transfer.
struct OnAnswer {
    std::function<void(const Head&)> begin; ///< once, before any data
    std::function<void(std::string_view)> data;
};

/// Returns at the end of the answer. Throws Error; PassingError for what may be otherwise the next time.
void transfer(const Get& get, const TransferLimits& limits, const OnAnswer& on);

} // namespace capsul::fetch
