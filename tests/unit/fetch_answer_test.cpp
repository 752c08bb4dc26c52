#include "daemon/fetch/answer.hpp"
#include "daemon/fetch/options.hpp"
#include "lib/error.hpp"

#include <gtest/gtest.h>
#include <stdexcept>

namespace capsul::fetch {
namespace {

using namespace std::string_view_literals;

TEST(ContentRange, IsReadStrictly) {
    EXPECT_EQ(parse_content_range("bytes 100-199/1000")->first, 100U);
    EXPECT_EQ(parse_content_range("bytes 100-199/1000")->total, 1000U);
    EXPECT_EQ(parse_content_range("bytes 0-0/*")->first, 0U);
    EXPECT_FALSE(parse_content_range("bytes 0-0/*")->total);
    EXPECT_FALSE(parse_content_range("bytes */1000")->first);
    EXPECT_EQ(parse_content_range("bytes */1000")->total, 1000U);
    for (const char* bad : {"", "bytes", "bytes ", "bytes 1-2", "bytes 2-1/9", "bytes 1-9/9", "bytes -1/9",
                            "bytes 1-/9", "bytes 1/9", "lines 1-2/9", "bytes 1-2/x", "bytes 1-2/9x",
                            "bytes 0-18446744073709551616/*", "bytes +1-2/9"}) {
        EXPECT_FALSE(parse_content_range(bad)) << bad;
    }
}

TEST(PlainHeader, LeavesOutWhatIsNotToBeKept) {
    EXPECT_EQ(plain_header("\"abc\""), "\"abc\"");
    EXPECT_EQ(plain_header("\"a\x1b[1m\""), "");
    EXPECT_EQ(plain_header("\"\xff\""), "");
    EXPECT_EQ(plain_header(std::string(513, 'x')), "");
}

TEST(StrongValidator, IsNeverAWeakTag) {
    EXPECT_EQ(strong_validator("\"a\"", "date"), "\"a\"");
    EXPECT_EQ(strong_validator("W/\"a\"", "date"), "date");
    EXPECT_EQ(strong_validator("W/\"a\"", ""), "");
    EXPECT_EQ(strong_validator("", ""), "");
}

std::string redirected(const char* from, const char* location) {
    try {
        return redirection(Url::parse(from), location).to_string();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::unreachable);
        return error.what();
    }
}

TEST(Redirection, StaysInTheNetworkAndSafe) {
    EXPECT_EQ(redirected("http://a/x", "https://b/y?z"), "https://b/y?z");
    EXPECT_EQ(redirected("https://a/x", "https://b/y#part"), "https://b/y");
    EXPECT_EQ(redirected("http://a/x?secret", "file:///etc/passwd"),
              "http://a/x: leads to a file of this host, where capsul does not follow");
    EXPECT_EQ(redirected("https://a/x", "http://b/y?secret"),
              "https://a/x: leads from https to http://b/y, where capsul does not follow");
    EXPECT_NE(redirected("http://a/x", "ftp://b").find("does not begin with"), std::string::npos);
    EXPECT_NE(redirected("http://a/x", "http://me:secret@b/").find("password"), std::string::npos);
    EXPECT_EQ(redirected("http://a/x", "http://me:secret@b/").find("secret"), std::string::npos);
}

TEST(WebPage, IsKnownByItsTypeAndItsBeginning) {
    EXPECT_TRUE(is_web_page_type("text/html"));
    EXPECT_TRUE(is_web_page_type("Text/HTML; charset=utf-8"));
    EXPECT_FALSE(is_web_page_type("text/plain"));
    EXPECT_FALSE(is_web_page_type(""));
    for (const char* page :
         {"<!DOCTYPE html>", "\n\t <HTML>", "\xef\xbb\xbf<html>", "<!-- x -->", "<?xml ?>"}) {
        EXPECT_TRUE(begins_like_web_page(page)) << page;
    }
    for (const std::string_view disk : {""sv, "QFI\xfb"sv, "\0\0\0<html>"sv, "<"sv, " \n"sv}) {
        EXPECT_FALSE(begins_like_web_page(disk)) << disk;
    }
}

TEST(FetchOptions, TakeOneFolder) {
    const Options options = parse_options({"catalogue", "--folder", "/a"});
    EXPECT_EQ(options.command, Options::Command::catalogue);
    EXPECT_EQ(options.folder, "/a");
    EXPECT_EQ(parse_options({"disk", "--folder", "/a"}).command, Options::Command::disk);
    using Words = std::vector<std::string>;
    for (const Words& words : {Words{}, Words{"tape"}, Words{"documents", "--folder", "/a"}, Words{"disk"},
                               Words{"disk", "--folder"}, Words{"disk", "--folder", "a"},
                               Words{"disk", "--file", "/a"}, Words{"disk", "--folder", "/a", "/b"}}) {
        EXPECT_THROW((void)parse_options(words), std::invalid_argument);
    }
}

} // namespace
} // namespace capsul::fetch
