// Any words as the command line of capsul-net: refused, or as its contract says. A zero byte ends a word.
#include "daemon/nethelper/arguments.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using namespace capsul::nethelper;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

std::vector<const char*> words_of(const std::string& text) {
    std::vector<const char*> words;
    for (std::size_t at = 0; at < text.size(); at += std::string_view(text.c_str() + at).size() + 1) {
        words.push_back(text.c_str() + at);
    }
    return words;
}

void check_name(const Name& name) {
    const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    const std::string_view text = name.view();
    require(!text.empty() && text.size() <= 15 && text.front() >= 'a' &&
            std::all_of(text.begin(), text.end(), allowed));
}

void check_items(const Arguments& arguments) {
    for (const Item& item : arguments.items) {
        require(item.network.first() == item.network.address);
        require(item.port_first <= item.port_last && item.protocol_first <= item.protocol_last);
        for (const Item& other : arguments.items) {
            require(&item == &other || !item.contains(other));
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    Arguments arguments;
    if (parse_arguments(words_of(text), arguments) != nullptr) {
        return 0;
    }
    if (arguments.operation == Operation::list || arguments.operation == Operation::check_policy) {
        return 0;
    }
    check_name(arguments.name);
    if (arguments.operation == Operation::tap_add) {
        require((arguments.mac[0] & 3U) == 2 && arguments.mac[0] != 0xfe);
        require(!arguments.bridge.view().empty() &&
                arguments.bridge.view().find('/') == std::string_view::npos);
    }
    check_items(arguments);
    return 0;
}
