#include "cli/targets.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul::cli {

void Tally::failure(const std::string& subject, const Error& error) {
    if (const auto* gone = dynamic_cast<const NoDaemon*>(&error)) {
        throw NoDaemon(*gone);
    }
    session_.report(named(subject, error));
    failures_.insert(capsul::exit_code(error.code()));
}

int Tally::exit_code() const {
    if (failures_.empty()) {
        return 0;
    }
    return succeeded_ == 0 && failures_.size() == 1 ? *failures_.begin()
                                                    : capsul::exit_code(ErrorCode::partial);
}

std::string listed(const std::vector<Name>& names) {
    std::vector<std::string> words;
    std::ranges::transform(names, std::back_inserter(words), &Name::to_string);
    return fmt::format("{}", fmt::join(words, ", "));
}

} // namespace capsul::cli
