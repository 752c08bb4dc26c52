#include "lib/error.hpp"
#include "lib/source_url.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

std::string refusal(std::string_view text) {
    try {
        return "taken: " + SourceUrl::parse(text).to_string();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid);
        return error.what();
    }
}

void expect_refused(std::string_view text, const std::string& why) {
    EXPECT_NE(refusal(text).find(why), std::string::npos) << refusal(text);
}

TEST(SourceUrl, TakesHttpHttpsAndFiles) {
    for (const char* text : {"http://127.0.0.1:8000/disk", "https://example.org", "https://[::1]:80/a?b=c@d",
                             "https://example.org/%20a", "file:///srv/disk.qcow2"}) {
        EXPECT_EQ(SourceUrl::parse(text).to_string(), text);
    }
    EXPECT_TRUE(SourceUrl::parse("https://a/b").is_https());
    EXPECT_FALSE(SourceUrl::parse("http://a/b").is_https());
    EXPECT_TRUE(SourceUrl::parse("file:///b").is_file());
}

TEST(SourceUrl, KnowsThePathOfAFile) {
    EXPECT_EQ(SourceUrl::parse("file:///srv/a%20disk%25.raw").path(), "/srv/a disk%.raw");
    EXPECT_EQ(SourceUrl::parse("file:///srv/%C3%A4").path(), "/srv/ä");
}

TEST(SourceUrl, RefusesOtherProtocols) {
    for (const char* text : {"", "disk.qcow2", "ftp://a/b", "HTTP://a/b", "file:/a", "scp://a/b", "//a/b"}) {
        expect_refused(text, "it does not begin with https://, http:// or file://");
    }
}

TEST(SourceUrl, RefusesAPasswordAndDoesNotShowIt) {
    expect_refused("https://alice:secret@example.org/", "a user name or a password");
    EXPECT_EQ(refusal("https://example.org@evil/?token=hidden#x").find("hidden"), std::string::npos);
}

TEST(SourceUrl, RefusesWhatAUrlMayNotHold) {
    for (const std::string text : {"https://a/b c", "https://a/b\n", "https://a/\"", "https://a/\\",
                                   "https://a/\x7f", "https://a/ä"}) {
        expect_refused(text, "percent-encoded");
    }
    expect_refused(std::string_view("https://a/\0", 11), "percent-encoded");
    expect_refused("https://a/b#c", "a fragment");
    expect_refused("https://a/" + std::string(2048, 'x'), "longer than 2048");
    expect_refused("https:///b", "names no host");
    expect_refused("https://:80/b", "names no host");
}

TEST(SourceUrl, RefusesAPathThatIsNotPlain) {
    for (const char* text :
         {"file:///srv/../etc/passwd", "file:///srv/%2e%2e/x", "file:///srv/", "file:///", "file:////a"}) {
        expect_refused(text, "not that of a file");
    }
    for (const char* text : {"file:///%0", "file:///%zz", "file:///a%00b", "file:///a%-1"}) {
        expect_refused(text, "percent-encoding is wrong");
    }
    expect_refused("file://host/a", "three slashes");
    expect_refused("file:///a?b", "%3F");
}

} // namespace
} // namespace capsul
