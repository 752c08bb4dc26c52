#include "daemon/known_catalogue.hpp"

#include "lib/fd.hpp"
#include "lib/json.hpp"

namespace capsul {
namespace {

/// More than the longest catalogue.
constexpr std::size_t most_bytes = std::size_t{64} << 20U;

fs::path file(const Paths& paths) {
    return paths.data / "catalogue.json";
}

} // namespace

Catalogue known_catalogue(const Paths& paths) {
    std::error_code unreadable;
    if (!fs::exists(file(paths), unreadable)) {
        return {};
    }
    try {
        return parse<Catalogue>(read_file(file(paths), most_bytes));
    } catch (const Error&) {
        return {}; // it is fetched anew
    }
}

void keep_catalogue(const Paths& paths, const Catalogue& catalogue) {
    replace_file(file(paths), dump_json(encode(catalogue)) + "\n");
}

} // namespace capsul
