#include "lib/backup.hpp"

#include <fmt/format.h>

namespace capsul {

NetworkChange NetworkChange::from_text(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is not OLD=NEW", text),
                    "name the network in the backup and the one of this host that takes its place");
    }
    return {Name::parse(text.substr(0, equals)), Name::parse(text.substr(equals + 1))};
}

} // namespace capsul
