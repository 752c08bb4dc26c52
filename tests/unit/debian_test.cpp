#include "lib/debian.hpp"

#include "lib/error.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

TEST(PackageName, TakesWhatDebianCallsItsPackages) {
    for (const char* name :
         {"nginx", "g++", "libstdc++6", "python3.11", "0ad", "linux-image-6.1.0-9-amd64"}) {
        EXPECT_EQ(PackageName::parse(name).to_string(), name);
    }
}

TEST(PackageName, RefusesWhatAptWouldTakeForSomethingElse) {
    for (const char* text : {"",          "a",       "Nginx",       "nginx-",  "-y",      "+x",         ".x",
                             "nginx/sid", "nginx=1", "nginx:arm64", "./x.deb", "~nnginx", "?essential", "a b",
                             "a,b",       "nginx\n", "$(id)",       "na'me",   "na\"me",  "ngïnx"}) {
        EXPECT_THROW((void)PackageName::parse(text), Error) << text;
    }
    EXPECT_THROW((void)PackageName::parse(std::string(101, 'a')), Error);
    EXPECT_THROW((void)PackageName::parse(std::string_view("a\0b", 3)), Error);
}

} // namespace
} // namespace capsul
