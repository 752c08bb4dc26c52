// Sources for tests of the catalogue.
#pragma once

#include "daemon/catalogue/reader.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>

namespace capsul::test {

inline std::string hex(std::size_t digits, char digit) {
    return std::string(digits, digit);
}

/// One that is built in, with its keyring there or not.
inline ImageSource builtin_source(const std::string& name, bool has_keyring = true) {
    const auto all = image_sources({}, [&](const std::string&) { return has_keyring; });
    const auto found = std::ranges::find(all, Name::parse(name), &ImageSource::name);
    EXPECT_NE(found, all.end()) << name;
    return *found;
}

/// One that is configured, of a kind that tells its images itself.
inline ImageSource own_source(SourceKind kind, const std::string& url, bool has_keyring = false) {
    ImageConfig config;
    ImageSourceConfig own;
    own.name = Name::parse("own");
    own.kind = kind;
    own.url = Url::parse(url);
    if (has_keyring) {
        own.keyring = KeyringPath::parse("/etc/capsul/keyrings/own.gpg");
    }
    config.source = {own};
    return image_sources(config, [](const std::string&) { return true; }).front();
}

} // namespace capsul::test
